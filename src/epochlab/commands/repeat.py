"""`epochlab repeat`: one config with several seeds."""

from pathlib import Path
from typing import Annotated

import typer

from epochlab.commands.sweep import Address, DryRun, EngineName, Parallel


def repeat(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="its name", show_default=False)
    ],
    seeds: Annotated[
        str, typer.Option(metavar="N|LIST", help="how many seeds, from 1 on, or which: 1,2,7")
    ] = "5",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="its settings (default: those that ship with it)",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="change a setting; may be repeated"),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="folder of all runs; those of this go to DIR/repeats"),
    ] = Path("outputs"),
    parallel: Parallel = None,
    cpus: Annotated[int, typer.Option(min=1, metavar="N", help="CPUs and threads of each run")] = 1,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="what is summed up: test.accuracy, test.loss, val_accuracy, val_loss",
        ),
    ] = "test.accuracy",
    engine: EngineName = "local",
    address: Address = None,
    dry_run: DryRun = False,
) -> None:
    """Train one config with several seeds: mean, standard deviation, 95 % interval, a picture.

    Finished runs of the same config, seed and data count; only missing ones are trained. The same
    command again, with more seeds for example, goes on.
    """
    from epochlab.commands.sweep import check_engine, show_plan
    from epochlab.compare import check_metric
    from epochlab.fleet.repeats import name_repeats, parse_seeds, plan_repeats, reuse_runs
    from epochlab.fleet.sweeps import Place, carry_out

    check_engine(engine)
    check_metric(metric)
    plan = plan_repeats(experiment, config, settings or (), parse_seeds(seeds), cpus)
    if dry_run:
        show_plan(plan)
        return

    def reuse(ledger) -> None:
        for run in reuse_runs(plan, ledger, out):
            print(f"finished already, with this config, seed and data: {run}")

    folder = out / "repeats" / name_repeats(plan)
    place = Place(engine, address, parallel)
    carry_out(plan, folder, place, metric=metric, free=None, before=reuse)
