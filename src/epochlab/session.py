"""One call of a script: its config, and the run folder that it trains in."""

import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from pydantic import Field

from epochlab.config import LoadedConfig, Section, describe_config, dump_config
from epochlab.environment import describe_environment
from epochlab.errors import EnvironmentFault, EpochlabError, RunError
from epochlab.files import format_json, remove_temporary, write_text
from epochlab.run_lock import lock_run
from epochlab.runs import Run, create_run
from epochlab.sessions import (
    KILLED,
    SESSIONS,
    Change,
    describe_session,
    end_session,
    find_changes,
    is_extension,
    read_sessions,
    write_sessions,
)
from epochlab.training_config import TrainingSettings

if TYPE_CHECKING:
    import keras

    from epochlab.data.images import ImageData


LISTED_FILES = 10


class ExperimentConfig(Section):
    """What every experiment's config has; each script adds its sections, `training` among them.

    Attributes:
        experiment: Name of the experiment, the stem of its script.
        seed: Seed of everything random in the run.
    """

    experiment: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]


Config = TypeVar("Config", bound=ExperimentConfig)


class PlanShown(Exception):
    """Ends a `--dry-run` once everything is printed."""


@dataclass(frozen=True)
class Session(Generic[Config]):
    """One call of a script.

    Attributes:
        loaded: The config with the origin of each value.
        script: The script's file.
        out: Folder that takes new runs.
        dry_run: Whether to show the plan instead of training.
        resumed: The run to go on with, or None for a new one.
        allow_changes: Whether to go on with it although something has changed.
    """

    loaded: LoadedConfig[Config]
    script: Path
    out: Path
    dry_run: bool
    resumed: Run | None
    allow_changes: bool

    @property
    def config(self) -> Config:
        """The whole resolved config."""
        return self.loaded.config

    @contextlib.contextmanager
    def open_run(
        self, data: "ImageData", model: "keras.Model", training: TrainingSettings
    ) -> Iterator[Run]:
        """Gives the run folder to train in, and says at the end where it is.

        Nothing is made before data and model are known to be good. With `--dry-run` the plan is
        printed and the script ends here.

        Args:
            data: The images.
            model: The model, not compiled yet.
            training: The `training` section.

        Yields:
            The new run with its first records, or the one to go on with.

        Raises:
            ConfigError: If `training` asks for validation images and there are none.
            EnvironmentFault: If the run folder cannot be made or the model not be drawn.
            RunError: If the run to go on with is another process's, or began with other settings,
                data or software.
        """
        from epochlab.model_picture import find_drawing_program
        from epochlab.training import check_validation

        check_validation(training, data)
        if self.dry_run:
            print(describe_config(self.loaded))
            print(_describe_data(data, training))
            print(_summarize(model), end="")
            raise PlanShown
        find_drawing_program()  # what is missing is said before there is a folder
        run = self.resumed or self._create_run(data)
        with lock_run(run.path):
            if self.resumed is not None:
                self._resume(run, data)
            _record_model(run, model)
            print(_describe_data(data, training), flush=True)
            with self._reporting(run):
                yield run

    def _create_run(self, data: "ImageData") -> Run:
        config = self.config
        environment = describe_environment(self.script)
        session = describe_session(config.model_dump(mode="json"), environment, data.describe())
        records = {
            "config.yaml": dump_config(config),
            "environment.json": format_json(environment),
            "data.json": format_json(data.describe()),
            SESSIONS: format_json({"sessions": [session]}),
        }
        if data.file_hashes:
            records["files.csv"] = _format_hashes(data)
        return create_run(self.out, config.experiment, config.seed, records)

    def _resume(self, run: Run, data: "ImageData") -> None:
        """Begins a new session of a run: cleans up after the last one and compares with it."""
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
        config = self.config.model_dump(mode="json")
        session = describe_session(config, describe_environment(self.script), data.describe())
        changes = find_changes(last, session)
        accepted = [change for change in changes if not is_extension(change, config)]
        if accepted and not self.allow_changes:
            raise RunError(_explain_changes(run, accepted, _changed_files(run, data)))
        for change in changes:
            print(f"changed: {change}")
        session["changes"] = {change.key: [change.was, change.now] for change in accepted}
        write_sessions(run, [*earlier, last, session])
        if accepted:
            print("the run is no longer bit-identical to one without a break")
            run.write_json("data.json", data.describe())
            if data.file_hashes:
                write_text(run.path / "files.csv", _format_hashes(data))
        (run.path / "metrics.json").unlink(missing_ok=True)  # of an extended run
        write_text(run.config_path, dump_config(self.config))

    @contextlib.contextmanager
    def _reporting(self, run: Run) -> Iterator[None]:
        """Says how the session ended, on the screen and in `sessions.json`."""
        resume = f"python {self.script} --resume {run.path}"
        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            how = "interrupted" if interrupted else type(error).__name__
            # A full disk may be what ended it.
            with contextlib.suppress(OSError, EpochlabError):
                end_session(run, f"{how}: {error}".splitlines()[0].rstrip(": "))
            if interrupted:
                place = f" by {error}" if str(error) else "; whole epochs are saved"
                print(f"\ninterrupted{place}; go on with: {resume}", file=sys.stderr)
            elif isinstance(error, EnvironmentFault):
                raise EnvironmentFault(f"{error}; then go on with: {resume}") from error
            raise
        finally:
            print_place(run)


def print_place(run: Run) -> None:
    """Prints where the run is: the last line of every script."""
    print(f"run: {run.path}", flush=True)


def _describe_data(data: "ImageData", training: TrainingSettings) -> str:
    """Returns what the data is, how many batches an epoch has, and what to beware of."""
    from epochlab.training import count_epoch_steps

    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    shape = " x ".join(map(str, data.image_shape))
    lines = [
        f"data: {data.source}; {data.num_classes} classes, images {shape}",
        f"      {counts}; {count_epoch_steps(training, data)} batches of {training.batch_size} "
        "per epoch",
    ]
    if data.skipped:
        lines.append(f"      {len(data.skipped):,} files left out, listed in data.json")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in data.warnings)])


def _format_hashes(data: "ImageData") -> str:
    """Returns the text of `files.csv`: SHA-256 and name of each file."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["sha256", "file"])
    writer.writerows((digest, name) for name, digest in data.file_hashes.items())
    return written.getvalue()


def _summarize(model: "keras.Model") -> str:
    lines: list[str] = []
    model.summary(line_length=80, print_fn=lambda line, line_break=True: lines.append(line))
    return "\n".join(lines).rstrip() + "\n"


def _record_model(run: Run, model: "keras.Model") -> None:
    """Writes what the model looks like, unless an earlier session has."""
    from epochlab.model_picture import draw_model

    if not (run.path / "summary.txt").exists():
        write_text(run.path / "summary.txt", _summarize(model))
    if not (run.path / "model.png").exists():
        draw_model(run.path / "model.png", model, provenance=run.provenance(None))


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


def _changed_files(run: Run, data: "ImageData") -> str:
    """Returns which files are others than those in the run's `files.csv`, for an error message."""
    with contextlib.suppress(OSError, ValueError, csv.Error):
        with (run.path / "files.csv").open(encoding="utf-8", newline="") as opened:
            _, *rows = csv.reader(opened)
        before = {name: digest for digest, name in rows}
        now = data.file_hashes
        changes = [
            *(f"{name} added" for name in now.keys() - before.keys()),
            *(f"{name} removed" for name in before.keys() - now.keys()),
            *(
                f"{name} changed"
                for name in now.keys() & before.keys()
                if now[name] != before[name]
            ),
        ]
        more = f" and {len(changes) - LISTED_FILES:,} more" if len(changes) > LISTED_FILES else ""
        return f" ({', '.join(sorted(changes)[:LISTED_FILES])}{more})" if changes else ""
    return ""
