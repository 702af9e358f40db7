"""`epochlab compare`: runs side by side, and whether their difference is real."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="run folders, folders of runs, globs, or experiments (of each the newest finished "
            "run in outputs/NAME)",
            show_default=False,
        ),
    ],
    outputs: Annotated[
        Path,
        typer.Option(metavar="DIR", help="folder of all experiments' runs"),
    ] = Path("outputs"),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="folder for pictures and tables (default: a new one in OUTPUTS/comparisons)",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="what is judged: test.accuracy, test.loss, val_accuracy, val_loss",
        ),
    ] = "test.accuracy",
) -> None:
    """Compare runs: curves on one picture, what differs between the configs, and a verdict.

    Runs of one config with several seeds become a mean with a band. Each pair of configs gets the
    difference of means, its 95 % interval and the p-value of Welch's t-test.
    """
    from epochlab.compare import check_metric, compare_runs
    from epochlab.comparison_files import write_comparison
    from epochlab.comparison_text import describe_comparison
    from epochlab.files import check_writable
    from epochlab.run_search import check_no_run, find_runs, list_passed_over

    check_metric(metric)
    found = find_runs(runs, outputs)
    comparison = compare_runs(found)
    out = out or outputs / "comparisons" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    check_no_run(out)
    check_writable(out)
    print(describe_comparison(comparison, metric))
    if counts := list_passed_over(runs, outputs):
        words = ", ".join(f"{count} runs of {name}" for name, count in counts.items())
        print(f"only the newest of {words}; all of them:")
        print("epochlab compare", *[outputs / name if name in counts else name for name in runs])
    for path in write_comparison(out, comparison, metric):
        print(path)
