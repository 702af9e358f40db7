"""A sweep, or the repetition of one config, from its settings to its tables and pictures."""

import contextlib
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from epochlab.errors import ConfigError
from epochlab.files import check_writable, make_folder
from epochlab.fleet.display import LiveDisplay, PlainDisplay
from epochlab.fleet.driver import Driver, Progress
from epochlab.fleet.experiments import Experiment, find_experiment
from epochlab.fleet.ledger import FREE, OUTCOMES, Ledger, open_ledger
from epochlab.fleet.local_engine import Engine, LocalEngine
from epochlab.fleet.objective import check_objective
from epochlab.fleet.outcome_files import describe_outcome, write_outcome, write_trials
from epochlab.fleet.points import list_corners, list_fixed, list_points
from epochlab.fleet.searches import PlannedTrials, Search
from epochlab.fleet.shortfalls import check_failures, describe_unstarted
from epochlab.fleet.sweep_config import Sweep, SweepConfig
from epochlab.fleet.trials import Trial, TrialMaker, list_trials
from epochlab.run_lock import lock_run


@dataclass(frozen=True)
class Place:
    """Where trials are carried out.

    Attributes:
        engine: `local` or `ray`.
        address: That of the Ray cluster; None: one of this machine's own for the time being.
        parallel: Trials at a time, or None for as many as there are CPUs for.
    """

    engine: str
    address: str | None
    parallel: int | None


@dataclass(frozen=True)
class Plan:
    """What a sweep is going to do, known to be right.

    Attributes:
        config: The sweep's config.
        experiment: The experiment.
        maker: Makes its trials.
        trials: All trials; of a search that chooses as it goes, a sample of them.
    """

    config: SweepConfig
    experiment: Experiment
    maker: TrialMaker
    trials: Sequence[Trial]


def plan_sweep(sweep: Sweep) -> Plan:
    """Resolves and checks every trial of a sweep. Nothing is written.

    Raises:
        ConfigError: If anything is wrong, in any trial.
    """
    config = sweep.config
    try:
        experiment = find_experiment(config.experiment)
    except ConfigError as error:
        raise ConfigError(f"{sweep.place('experiment')}: experiment: {error}") from error
    path = Path(config.config) if config.config is not None else _shown(experiment.config_path)
    maker = TrialMaker(experiment, path, list_fixed(sweep), config.cpus_per_trial)
    is_guided = config.search == "optuna"
    points = list_corners(sweep) if is_guided else list_points(sweep)
    trials = list_trials(maker, points, config.seeds, sweep.place("space"))
    if is_guided:
        check_objective(sweep, trials)
    return Plan(config, experiment, maker, trials)


def carry_out(
    plan: Plan,
    folder: Path,
    place: Place,
    *,
    metric: str,
    free: Collection[str] | None = FREE,
    before: Callable[[Ledger], None] | None = None,
) -> None:
    """Runs what is missing of a sweep and says what came out.

    Args:
        plan: The sweep.
        folder: The sweep's folder, new or that of an earlier call.
        place: Where the trials run.
        metric: What is judged in the comparison.
        free: As in `open_ledger`.
        before: Called with the ledger before the first trial.

    Raises:
        EpochlabError: If the sweep cannot go on, or trials have failed: then with the exit code of
            the first one.
        KeyboardInterrupt: If it was asked to stop.
    """
    check_writable(folder)
    make_folder(folder)
    with lock_run(folder):
        ledger = open_ledger(folder, plan.config, plan.maker.base, free=free)
        if before is not None:
            before(ledger)
        engine = _make_engine(plan, ledger, place)
        try:
            progress = _drive(plan, ledger, engine)
        except KeyboardInterrupt:
            write_trials(ledger)
            done = sum(record.state in OUTCOMES for record in ledger.records.values())
            print(
                f"interrupted: {done} trials are done, in {folder}; the same command goes on",
                file=sys.stderr,
            )
            raise
        for trial in progress.skipped:
            ledger.add(trial)
        print()
        print(describe_outcome(ledger, metric))
        if progress.exhausted:
            print(describe_unstarted(ledger, progress))
        for path in write_outcome(ledger, metric):
            print(path)
    check_failures(ledger, progress)


def _drive(plan: Plan, ledger: Ledger, engine: Engine) -> Progress:
    from rich.console import Console

    config = plan.config
    search = _make_search(plan, ledger)
    console = Console()
    with contextlib.ExitStack() as stack:
        if console.is_terminal:
            display = LiveDisplay(console, search.total, config.objective, ledger, engine.slots)
            stack.enter_context(display)
        else:
            display = PlainDisplay(search.total, config.objective)
        driver = Driver(search, ledger, engine, display, config.budget, config.objective)
        return driver.run()


def _make_search(plan: Plan, ledger: Ledger) -> Search:
    if plan.config.search != "optuna":
        return PlannedTrials(plan.trials)
    from epochlab.fleet.optuna_search import OptunaSearch

    return OptunaSearch(plan.config, plan.maker, ledger.folder)


def _make_engine(plan: Plan, ledger: Ledger, place: Place) -> Engine:
    config, script = plan.config, plan.experiment.script
    parallel = place.parallel or config.parallel
    if place.engine == "local":
        if place.address is not None:
            raise ConfigError("--address: is that of a Ray cluster; give --engine ray, too")
        return LocalEngine(script, config.cpus_per_trial, parallel)
    from epochlab.fleet.ray_engine import RayEngine

    return RayEngine(
        plan.experiment,
        plan.trials,
        ledger.folder,
        config.cpus_per_trial,
        place.address,
        parallel,
    )


def _shown(path: Path) -> Path:
    """Returns `path` as a person would write it: relative where it lies below this folder."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path
