"""The frame around every script: its flags, its typed config, its exit code."""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from epochlab.config import LoadedConfig, load_config
from epochlab.config.source import Source
from epochlab.errors import ConfigError
from epochlab.exits import EXIT_USAGE, exit_codes, fail
from epochlab.files import check_writable
from epochlab.precision import settle_precision
from epochlab.runs import Run, load_run
from epochlab.script_files import shipped_config
from epochlab.session import Config, PlanShown, Session, print_place
from epochlab.session_records import find_extension_key
from epochlab.training_config import TrainingSettings


def run_experiment(train: Callable[[Session[Config]], None], schema: type[Config]) -> NoReturn:
    """Runs a script: reads its flags and config, calls `train`, and exits with the contract's code.

    Args:
        train: The script's own wiring, from data to results.
        schema: The typed config of the experiment.
    """
    script = Path(inspect.getfile(train))
    with exit_codes():
        session = _start_session(script, train, schema)
        if session is not None:
            with contextlib.suppress(PlanShown):
                train(session)
    sys.exit(0)


def _start_session(
    script: Path, train: Callable[[Session[Config]], None], schema: type[Config]
) -> Session[Config] | None:
    """Reads the command line. None: there is nothing left to do."""
    arguments = _make_parser(script, train).parse_args()
    resumed = _open_resumed(arguments)
    config_path = arguments.config or shipped_config(script)
    if resumed is not None:
        config_path = resumed.config_path
    try:
        loaded = load_config(schema, _shown(config_path), arguments.set, arguments.seed)
    except ConfigError:
        # Of another experiment's config everything would be wrong, and nothing to the point.
        source = Source(_shown(config_path))
        _check_experiment(script, source.values.get("experiment"), source.origin(("experiment",)))
        raise
    _check_experiment(script, loaded.config.experiment, loaded.origins["experiment"])
    if (
        resumed is not None
        and resumed.is_finished
        and (not arguments.set or loaded.config == load_config(schema, config_path).config)
    ):
        key = find_extension_key(loaded.config.model_dump())
        more = f"; for more epochs: --set {key}=N" if key else ""
        print(f"this run is finished already; nothing is left to do{more}")
        print_place(resumed)
        return None
    out = arguments.out or Path("outputs")
    if not arguments.dry_run and resumed is None:
        check_writable(out / loaded.config.experiment)
    loaded, precision = settle_precision(_fix_threads(loaded))
    return Session(
        loaded,
        _shown(script),
        out,
        arguments.dry_run,
        resumed,
        arguments.allow_changes,
        precision,
    )


def _check_experiment(script: Path, given: object, place: str) -> None:
    """Refuses a config that says that it is another experiment's."""
    if isinstance(given, str) and given != script.stem:
        raise ConfigError(
            f"{place}: experiment: expected {script.stem}, this script's, got {given}; run "
            f"scripts/{given}.py, or give the config of this experiment"
        ) from None


def _open_resumed(arguments: argparse.Namespace) -> Run | None:
    """Returns the run to go on with, if one is asked for."""
    if arguments.resume is None:
        return None
    given = [f"--{flag}" for flag in ("config", "seed", "out") if vars(arguments)[flag] is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: not with --resume, which goes on with the run's own config in "
            "its own folder; leave it out, or start a new run"
        )
    run = load_run(arguments.resume)
    check_writable(run.path)
    return run


def _fix_threads(loaded: LoadedConfig[Config]) -> LoadedConfig[Config]:
    """Puts the number of CPUs where the config leaves the number of threads open."""
    from epochlab.environment import count_cpus  # slow to load, so only when needed

    training: TrainingSettings = dict(loaded.config)["training"]
    if training.threads is not None:
        return loaded
    training = training.model_copy(update={"threads": count_cpus()})
    config = loaded.config.model_copy(update={"training": training})
    key = "training.threads"
    origins = dict(loaded.origins) | {key: f"{loaded.origins[key]}: null, so one per CPU"}
    return LoadedConfig(config, origins)


class _Parser(argparse.ArgumentParser):
    """Refuses a command line as everything is refused here: in one message."""

    def error(self, message: str) -> NoReturn:
        fail(f"{message}; see {self.prog} --help", EXIT_USAGE)


def _make_parser(script: Path, train: Callable[..., None]) -> argparse.ArgumentParser:
    default = shipped_config(script).relative_to(script.parent.parent)
    parser = _Parser(
        description=inspect.getmodule(train).__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the experiment's settings (default: {default})",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, as in data.limit=2000; may be repeated",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same as --set seed=N")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for new runs (default: outputs)"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with a run that was cut off, or, with --set, for more epochs",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="with --resume: although settings, data or software have changed",
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
