"""The frame around every script: its flags, its typed config, its run folder, its exit code."""

import argparse
import contextlib
import errno
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, NoReturn, TypeVar

from pydantic import Field

from epochlab.config import LoadedConfig, Section, describe_config, load_config
from epochlab.errors import ConfigError, EnvironmentFault, EpochlabError, RunError
from epochlab.files import check_writable, write_text
from epochlab.runs import Run, create_run, load_run
from epochlab.training_config import TrainingConfig

if TYPE_CHECKING:
    import keras

    from epochlab.data.images import ImageData

EXIT_INTERRUPTED = 130


class ExperimentConfig(Section):
    """What every experiment's config has; each script adds its `data` and `model` sections.

    Attributes:
        experiment: Name of the experiment, the stem of its script.
        seed: Seed of everything random in the run.
        training: How the model is trained.
    """

    experiment: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    training: TrainingConfig


Config = TypeVar("Config", bound=ExperimentConfig)


class _PlanShown(Exception):
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
    def open_run(self, data: "ImageData", model: "keras.Model") -> Iterator[Run]:
        """Gives the run folder to train in, and says at the end where it is.

        Nothing is made before data and model are known to be good. With `--dry-run` the plan is
        printed and the script ends here.

        Args:
            data: The images.
            model: The compiled model.

        Yields:
            The new run with its first records, or the one to go on with.
        """
        from epochlab.model_picture import draw_model
        from epochlab.training import check_validation

        config = self.config
        check_validation(config.training, data)
        if self.dry_run:
            print(describe_config(self.loaded))
            print(_describe_data(data, config.training.batch_size))
            print(_summarize(model))
            raise _PlanShown
        run = self.resumed
        if run is None:
            run = create_run(
                self.out, config.experiment, config.seed, config, self.script, data.describe()
            )
            write_text(run.path / "summary.txt", _summarize(model))
            draw_model(run.path / "model.png", model, provenance=run.provenance(None))
        else:
            _check_same_data(run, data)
        print(_describe_data(data, config.training.batch_size), flush=True)
        try:
            yield run
        except KeyboardInterrupt:
            resume = f"python {self.script} --resume {run.path}"
            print(f"\ninterrupted; whole epochs are saved; go on with: {resume}", file=sys.stderr)
            raise
        finally:
            _print_place(run)


def run_experiment(train: Callable[[Session[Config]], None], schema: type[Config]) -> NoReturn:
    """Runs a script: reads its flags and config, calls `train`, and exits with the contract's code.

    Args:
        train: The script's own wiring, from data to results.
        schema: The typed config of the experiment.
    """
    script = Path(inspect.getfile(train))
    try:
        session = _start_session(script, train, schema)
        if session is not None:
            train(session)
    except _PlanShown:
        pass
    except EpochlabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(EXIT_INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("epochlab"):
            raise
        print(
            f"error: the package {error.name} is missing; install Epochlab with what it needs: "
            "pip install epochlab, or make setup",
            file=sys.stderr,
        )
        sys.exit(EnvironmentFault.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        print(f"error: {error}; free some space or choose another --out", file=sys.stderr)
        sys.exit(EnvironmentFault.exit_code)
    sys.exit(0)


def _start_session(
    script: Path, train: Callable[[Session[Config]], None], schema: type[Config]
) -> Session[Config] | None:
    """Reads the command line. None: there is nothing left to do."""
    arguments = _make_parser(script, train).parse_args()
    resumed = None
    config_path = arguments.config or script.parent.parent / "configs" / f"{script.stem}.yaml"
    if arguments.resume is not None:
        given = [
            flag
            for flag, value in (
                ("--config", arguments.config),
                ("--set", arguments.set),
                ("--seed", arguments.seed),
                ("--out", arguments.out),
            )
            if value
        ]
        if given:
            raise ConfigError(
                f"{', '.join(given)}: not with --resume, which goes on with the run's own config "
                "in its own folder; leave it out, or start a new run"
            )
        resumed = load_run(arguments.resume)
        config_path = resumed.config_path
    loaded = load_config(schema, _shown(config_path), arguments.set, arguments.seed)
    if loaded.config.experiment != script.stem:
        raise ConfigError(
            f"{loaded.origins['experiment']}: experiment: expected {script.stem}, this script's, "
            f"got {loaded.config.experiment}; run scripts/{loaded.config.experiment}.py, or "
            "give the config of this experiment"
        )
    if resumed is not None and resumed.is_finished:
        print("this run is finished already; nothing is left to do")
        _print_place(resumed)
        return None
    out = arguments.out or Path("outputs")
    if not arguments.dry_run and resumed is None:
        check_writable(out / loaded.config.experiment)
    return Session(loaded, _shown(script), out, arguments.dry_run, resumed)


def _make_parser(script: Path, train: Callable[..., None]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=inspect.getmodule(train).__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the experiment's settings (default: configs/{script.stem}.yaml)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, as in training.epochs=1; may be repeated",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same as --set seed=N")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for new runs (default: outputs)"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run that was cut off"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show settings, data and model; do not train"
    )
    return parser


def _shown(path: Path) -> Path:
    """Returns `path` as a person would write it: relative where it lies below this folder."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path


def _print_place(run: Run) -> None:
    print(f"run: {run.path}", flush=True)


def _describe_data(data: "ImageData", batch_size: int) -> str:
    """Returns what the data is, and how many batches an epoch has."""
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    shape = " x ".join(map(str, data.image_shape))
    steps = -(-len(data.train) // batch_size)
    return (
        f"data: {data.source}; {data.num_classes} classes, images {shape}\n"
        f"      {counts}; {steps} batches of {batch_size} per epoch"
    )


def _summarize(model: "keras.Model") -> str:
    lines: list[str] = []
    model.summary(line_length=80, print_fn=lambda line, line_break=True: lines.append(line))
    return "\n".join(lines) + "\n"


def _check_same_data(run: Run, data: "ImageData") -> None:
    """Refuses to go on with other data than the run began with."""
    recorded = run.read_json("data.json")
    if recorded != data.describe():
        raise RunError(
            f"{run.path}: the data has changed since the run began: its fingerprint was "
            f"{recorded.get('sha256')}, now it is {data.fingerprint}; bring the old data back, or "
            "start a new run"
        )
