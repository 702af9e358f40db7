"""One call of a script: its config, and the run folder that it trains in."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field

from epochlab.config import LoadedConfig, Section, describe_config, dump_config
from epochlab.data_records import FILES, describe_data, format_hashes
from epochlab.errors import EnvironmentFault, EpochlabError, RunError
from epochlab.files import format_json
from epochlab.resuming import begin_session, unchanged_unless_begun
from epochlab.run_lock import lock_run
from epochlab.runs import Run, create_run
from epochlab.session_records import SESSIONS, describe_session, end_session, read_sessions
from epochlab.trackers import check_trackers
from epochlab.training_config import TrainingSettings

if TYPE_CHECKING:
    import keras

    from epochlab.data.images import ImageData


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
        precision: What `precision: auto` became and why, for `environment.json`; None: no `auto`.
    """

    loaded: LoadedConfig[Config]
    script: Path
    out: Path
    dry_run: bool
    resumed: Run | None
    allow_changes: bool
    precision: Mapping[str, Any] | None

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
            EnvironmentFault: If the run folder cannot be made, the model not be drawn or a tracker
                not be used.
            RunError: If the run to go on with is another process's, or began with other settings,
                data or software.
        """
        from epochlab.model_picture import find_drawing_program, record_model, summarize
        from epochlab.training import check_validation

        check_validation(training, data)
        if self.dry_run:
            print(describe_config(self.loaded))
            print(describe_data(data, training))
            print(summarize(model), end="")
            raise PlanShown
        find_drawing_program()  # what is missing is said before there is a folder
        check_trackers(training.trackers, self.resumed.out if self.resumed else self.out)
        run = self.resumed or self._create_run(data)
        with lock_run(run.path), self._going_on(run, data), self._reporting(run):
            record_model(run, model)
            print(describe_data(data, training), flush=True)
            yield run

    @contextlib.contextmanager
    def _going_on(self, run: Run, data: "ImageData") -> Iterator[None]:
        """Begins a new session of a run that there is already; of a new one it has the first."""
        if self.resumed is None:
            yield
            return
        with unchanged_unless_begun(run):
            begin_session(run, data, self.config, self.script, allow_changes=self.allow_changes)
            yield

    def _create_run(self, data: "ImageData") -> Run:
        from epochlab.environment import describe_environment  # slow to load, so only when needed

        config = self.config
        environment, described = describe_environment(self.script), data.describe()
        if self.precision is not None:
            environment["precision"] = self.precision
        session = describe_session(config.model_dump(mode="json"), environment, described)
        records = {
            "config.yaml": dump_config(config),
            "environment.json": format_json(environment),
            "data.json": format_json(described),
            SESSIONS: format_json({"sessions": [session]}),
        }
        if data.file_hashes:
            records[FILES] = format_hashes(data)
        return create_run(self.out, config.experiment, config.seed, records)

    @contextlib.contextmanager
    def _reporting(self, run: Run) -> Iterator[None]:
        """Says how the session ended, on the screen and in `sessions.json`."""
        try:
            yield
        except BaseException as error:
            way_on = self._way_on(run)
            interrupted = isinstance(error, KeyboardInterrupt)
            how = "interrupted" if interrupted else type(error).__name__
            # A full disk may be what ended it.
            with contextlib.suppress(OSError, EpochlabError):
                end_session(run, f"{how}: {error}".splitlines()[0].rstrip(": "))
            if interrupted:
                place = f" by {error}" if str(error) else "; whole epochs are saved"
                print(f"\ninterrupted{place}; {way_on}", file=sys.stderr)
            elif isinstance(error, EnvironmentFault):
                raise EnvironmentFault(f"{error}; then {way_on}") from error
            elif isinstance(error, FileNotFoundError) and not run.config_path.is_file():
                raise RunError(
                    f"{run.path}: this folder was moved or removed while the run was at work; put "
                    f"it back, then {way_on}"
                ) from error
            raise
        finally:
            print_place(run)

    def _way_on(self, run: Run) -> str:
        """Returns what to do after an interruption, for a person."""
        with contextlib.suppress(EpochlabError):
            if self.resumed is not None and not read_sessions(run)[-1]["begun"]:
                return "give the same command again: nothing of the run was changed"
        return f"go on with: python {self.script} --resume {run.path}"


def print_place(run: Run) -> None:
    """Prints where the run is: the last line of every script."""
    print(f"run: {run.path}", flush=True)
