"""One call of a script: its config, and the run folder that it trains in."""

import contextlib
import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from pydantic import Field

from epochlab.config import LoadedConfig, Section, describe_config
from epochlab.errors import RunError
from epochlab.files import write_text
from epochlab.runs import Run, create_run
from epochlab.training_config import TrainingSettings

if TYPE_CHECKING:
    import keras

    from epochlab.data.images import ImageData


LISTED_FILES = 10


class ExperimentConfig(Section):
    """What every experiment's config has; each script adds its sections.

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
    """

    loaded: LoadedConfig[Config]
    script: Path
    out: Path
    dry_run: bool
    resumed: Run | None

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
            RunError: If the run to go on with began with other data.
        """
        from epochlab.model_picture import draw_model, find_drawing_program
        from epochlab.training import check_validation

        config = self.config
        check_validation(training, data)
        if self.dry_run:
            print(describe_config(self.loaded))
            print(_describe_data(data, training))
            print(_summarize(model), end="")
            raise PlanShown
        run = self.resumed
        if run is None:
            find_drawing_program()  # what is missing is said before there is a folder
            run = create_run(
                self.out, config.experiment, config.seed, config, self.script, data.describe()
            )
            write_text(run.path / "summary.txt", _summarize(model))
            if data.file_hashes:
                write_text(run.path / "files.csv", _format_hashes(data))
            draw_model(run.path / "model.png", model, provenance=run.provenance(None))
        else:
            _check_same_data(run, data)
        print(_describe_data(data, training), flush=True)
        try:
            yield run
        except KeyboardInterrupt:
            resume = f"python {self.script} --resume {run.path}"
            print(f"\ninterrupted; whole epochs are saved; go on with: {resume}", file=sys.stderr)
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


def _check_same_data(run: Run, data: "ImageData") -> None:
    """Refuses to go on with other data than the run began with."""
    recorded = run.read_json("data.json")
    if recorded != data.describe():
        raise RunError(
            f"{run.path}: the data has changed since the run began: its fingerprint was "
            f"{recorded.get('sha256')}, now it is {data.fingerprint}{_changed_files(run, data)}; "
            "bring the old data back, or start a new run"
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
