"""Going on with a run in a new process: the same as before, or said and recorded what is not."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.config import Section, dump_config
from epochlab.data_records import FILES, changed_files, format_hashes
from epochlab.errors import EpochlabError, RunError
from epochlab.files import remove_temporary, replace_file, write_text
from epochlab.runs import Run
from epochlab.session_records import (
    KILLED,
    SESSIONS,
    Change,
    describe_session,
    find_changes,
    is_extension,
    read_sessions,
    write_sessions,
)

if TYPE_CHECKING:
    from epochlab.data.images import ImageData


# What a session writes, or draws anew, before its first step, in the order in which it is put back:
# the sessions first, since the state between is then one that `begin_session` may leave, too; what
# marks a run as finished last.
EARLY = (
    SESSIONS,
    "config.yaml",
    "data.json",
    FILES,
    "summary.txt",
    "model.png",
    "augmentation.png",
    "accuracy.png",
    "loss.png",
    "metrics.json",
)


@contextlib.contextmanager
def unchanged_unless_begun(run: Run) -> Iterator[None]:
    """Puts the records of `run` back as they were if the block fails before training goes on.

    Whether weights and network are those that the run began with is known only once both are
    loaded. A finished run for which that is refused stays finished.
    """
    before = {name: path.read_bytes() for name in EARLY if (path := run.path / name).is_file()}
    earlier = len(read_sessions(run))
    try:
        yield
    except BaseException:
        # What keeps records from being read or written has been said, or is the error itself.
        with contextlib.suppress(OSError, EpochlabError):
            sessions = read_sessions(run)
            if len(sessions) == earlier or not sessions[-1]["begun"]:
                _put_back(run, before)
        raise


def _put_back(run: Run, before: Mapping[str, bytes]) -> None:
    for name in EARLY:
        path = run.path / name
        if name not in before:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.read_bytes() != before[name]:
            with replace_file(path) as beside:
                beside.write_bytes(before[name])


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
