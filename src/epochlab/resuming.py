"""Going on with a run in a new process: the same as before, or said and recorded what is not."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.config import Section, dump_config
from epochlab.data_records import FILES, changed_files, format_hashes
from epochlab.errors import RunError
from epochlab.files import remove_temporary, write_text
from epochlab.runs import Run
from epochlab.session_records import (
    KILLED,
    Change,
    describe_session,
    find_changes,
    is_extension,
    read_sessions,
    write_sessions,
)

if TYPE_CHECKING:
    from epochlab.data.images import ImageData


def begin_session(
    run: Run, data: "ImageData", config: Section, script: Path, *, allow_changes: bool
) -> None:
    """Begins a new session of `run`: cleans up after the last one and compares with it.

    Args:
        run: The run, locked by this process.
        data: The images.
        config: The whole resolved config of the new session.
        script: The script that runs.
        allow_changes: Whether to go on although something has changed; it is recorded.

    Raises:
        RunError: If something has changed and that is not allowed.
    """
    from epochlab.environment import describe_environment  # slow to load, so only when needed

    left = remove_temporary(run.path)
    if left:
        names = ", ".join(path.name for path in left)
        print(f"removed what a process that was killed had left half-written: {names}")
    *earlier, last = read_sessions(run)
    if last["ended"] is None:
        last = last | {"ended": KILLED}
        print(
            "the last process was killed, or the machine went down; if memory ran out, give a "
            "smaller training.batch_size in a new run"
        )
    values = config.model_dump(mode="json")
    session = describe_session(values, describe_environment(script), data.describe())
    changes = find_changes(last, session)
    accepted = [change for change in changes if not is_extension(change, values)]
    if accepted and not allow_changes:
        raise RunError(_explain_changes(run, accepted, changed_files(run, data)))
    for change in changes:
        print(f"changed: {change}")
    session["changes"] = {change.key: [change.was, change.now] for change in accepted}
    (run.path / "metrics.json").unlink(missing_ok=True)  # of an extended run
    if accepted:
        print("the run is no longer bit-identical to one without a break")
        run.write_json("data.json", data.describe())
        if data.file_hashes:
            write_text(run.path / FILES, format_hashes(data))
    write_text(run.config_path, dump_config(config))
    # Last: a process that is killed before this leaves the same comparison to the next one.
    write_sessions(run, [*earlier, last, session])


def _explain_changes(run: Run, changes: Sequence[Change], files: str) -> str:
    """Returns the message that refuses to go on, with a line per change."""
    lines = [
        f"{change}{files}" if change.key == "data.sha256" else str(change) for change in changes
    ]
    return "\n  ".join(
        [
            f"{run.path}: not as it was when the run was cut off, so going on would not give what "
            "a run without a break gives",
            *lines,
            "put it back, start a new run, or accept it with --allow-changes",
        ]
    )
