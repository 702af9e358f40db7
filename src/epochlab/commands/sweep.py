"""`epochlab sweep`: many trials of one experiment, and what came out."""

from pathlib import Path
from typing import Annotated

import typer

Parallel = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="trials at a time (default: as many as there are CPUs for)",
        show_default=False,
    ),
]
EngineName = Annotated[
    str,
    typer.Option("--engine", metavar="local|ray", help="where trials run: here, or on Ray"),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="the Ray cluster (default: one on this machine for the time being)",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="list the trials; do not train")]


def sweep(
    path: Annotated[
        Path, typer.Argument(metavar="SWEEP.yaml", help="what to try", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="the sweep's folder is DIR/sweeps/NAME")
    ] = Path("outputs"),
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="name of the sweep (default: the file's)", show_default=False
        ),
    ] = None,
    parallel: Parallel = None,
    engine: EngineName = "local",
    address: Address = None,
    dry_run: DryRun = False,
) -> None:
    """Run all trials of a sweep, each in a process of its own, and compare them.

    The same command again runs only what is missing; a sweep whose YAML was edited is refused with
    the difference. A trial that fails is marked and the others go on: the exit code is then that of
    the first one that failed. A trial that diverges is a result.
    """
    from epochlab.fleet.sweep_config import read_sweep
    from epochlab.fleet.sweeps import Place, carry_out, plan_sweep

    check_engine(engine)
    plan = plan_sweep(read_sweep(path))
    if dry_run:
        show_plan(plan)
        return
    folder = out / "sweeps" / check_name(name or path.stem)
    carry_out(plan, folder, Place(engine, address, parallel), metric=plan.config.objective)


def check_engine(engine: str) -> None:
    """Refuses an engine that there is not.

    Raises:
        ConfigError: Then.
    """
    from epochlab.errors import ConfigError

    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine {engine}: expected local or ray, got {engine}")


def check_name(name: str) -> str:
    """Returns the name of a sweep's folder.

    Raises:
        ConfigError: If it is no name but a path, or hidden.
    """
    from epochlab.errors import ConfigError

    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ConfigError(f"--name {name}: expected the name of a folder, without / or leading dot")
    return name


def show_plan(plan) -> None:
    """Prints the trials of a plan."""
    trials = plan.trials
    for number, trial in enumerate(trials, 1):
        print(f"{number:4}  {trial.identity}  {trial.label}")
    config = plan.config
    if config.search == "optuna":
        points = config.trials or 0
        print(
            f"these show the ends of the space; optuna chooses {points} points, each with "
            f"{len(config.seeds)} seeds, by {config.objective}"
        )
    else:
        print(
            f"{len(trials)} trials: {len(trials) // len(config.seeds)} points with "
            f"{len(config.seeds)} seeds each"
        )
