"""The frame around every script: its flags, its typed config, its exit code."""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from epochlab.config import load_config
from epochlab.errors import ConfigError
from epochlab.exits import exit_codes
from epochlab.files import check_writable
from epochlab.runs import load_run
from epochlab.session import Config, PlanShown, Session, print_place


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
            if value not in (None, [])
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
        print_place(resumed)
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
