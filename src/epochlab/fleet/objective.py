"""The figure of the validation images that a search goes by, and trials that cannot have it."""

from collections.abc import Iterable

from epochlab.errors import ConfigError
from epochlab.fleet.ledger import TrialRecord
from epochlab.fleet.sweep_config import Sweep
from epochlab.fleet.trials import Trial

FRACTION = "data.validation_fraction"


def check_objective(sweep: Sweep, trials: Iterable[Trial]) -> None:
    """Refuses a sweep that goes by validation images where a trial's config keeps none.

    Whether a folder of images has some is not seen here but by its trials.

    Args:
        sweep: A sweep whose search goes by the results.
        trials: Trials that have every value of its lists and both ends of its ranges.

    Raises:
        ConfigError: If `data.validation_fraction` is 0 in one of them.
    """
    if all(_read_fraction(trial) != 0 for trial in trials):
        return
    config = sweep.config
    if FRACTION in config.space:
        place, remedy = ("space", FRACTION), "give only values above 0"
    else:
        place = ("set", FRACTION) if FRACTION in config.set else ("search",)
        remedy = f"give {FRACTION} above 0 under set:"
    raise ConfigError(
        f"{sweep.place(*place)}: search: {config.search} expects validation images, since it goes "
        f"by their {config.objective}; got {FRACTION}: 0, which keeps none; {remedy}"
    )


def explain_missing(record: TrialRecord, objective: str) -> str:
    """Returns what to tell a person of a finished trial that a search learns nothing from."""
    return (
        f"{record.label}: finished without {objective}, the figure that this search goes by; so it "
        "learns nothing from such trials; stop it (Ctrl-C), give the data validation images, and "
        "begin a new sweep with --name NAME"
    )


def _read_fraction(trial: Trial) -> float | None:
    data = getattr(trial.config, "data", None)
    return getattr(data, "validation_fraction", None)
