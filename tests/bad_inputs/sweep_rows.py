"""Rows 51 and 52: many runs."""

import importlib.util
import shutil

from case import Cases, NotHere, Place
from command import Command, Outcome, epochlab, run

cases = Cases()
SWEEP = """\
experiment: mlp_mnist_relu
config: null
set:
  data.path: digits.npz
  training.epochs: 1
search: grid
space:
  training.batch_size: [32, 64]
seeds: [1]
cpus_per_trial: 1
parallel: 2
budget: null
objective: val_accuracy
"""


def sweep(place: Place, *changes: tuple[str, str], arguments: tuple[str, ...] = ()) -> Command:
    """Returns the command for a sweep's YAML with texts replaced."""
    if importlib.util.find_spec("epochlab.commands.sweep") is None:
        raise NotHere("there is no `epochlab sweep` yet")
    text = SWEEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (place.path / "many.yaml").write_text(text)
    shutil.copy(place.workshop.digits, place.path)
    return Command(epochlab("sweep", "many.yaml", *arguments))


@cases(51, "misspelt key in the space", 2, "training.bach_size", "did you mean")
def _(place: Place) -> Command:
    return sweep(place, ("training.batch_size", "training.bach_size"))


@cases(51, "value that no trial can take", 2, "training.batch_size", "at least 1, got 0")
def _(place: Place) -> Command:
    return sweep(place, ("[32, 64]", "[32, 0]"))


OPTUNA = (("experiment: mlp_mnist_relu", "experiment: convnet_mnist"),
          ("search: grid", "search: optuna\ntrials: 4"))  # fmt: skip


@cases(51, "optuna without validation images", 2, "got data.validation_fraction: 0", "above 0")
def _(place: Place) -> Command:
    return sweep(place, *OPTUNA)


@cases(51, "same seed twice", 2, "many.yaml:9: seeds", "give each seed once")
def _(place: Place) -> Command:
    return sweep(place, ("seeds: [1]", "seeds: [1, 1]"))


@cases(51, "unknown experiment", 2, "many.yaml:1: experiment", "mlp_mnist_relu")
def _(place: Place) -> Command:
    return sweep(place, ("experiment: mlp_mnist_relu", "experiment: mlp_mnist_rely"))


@cases(51, "name that leads out of the folder of sweeps", 2, "--name ../x", "name of a folder")
def _(place: Place) -> Command:
    return sweep(place, arguments=("--name", "../x"))


def check_others(place: Place, _: Outcome) -> None:
    assert len(list(place.path.glob("outputs/sweeps/many/**/metrics.json"))) == 1


FAILING = (("training.batch_size: [32, 64]", "data.path: [digits.npz, none.npz]"),
           ("  data.path: digits.npz\n", ""))  # fmt: skip


@cases(
    51, "one trial fails", 3, "1 of 2 trials", "none.npz", "the same command tries them again",
    seconds=60, changes=("outputs*",), check=check_others, loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    return sweep(place, *FAILING)


@cases(51, "space edited before going on", 2, "batch_size", seconds=5, changes=("outputs*",))
def _(place: Place) -> Command:
    command = sweep(place)
    first = run(command, place.path, place.workshop.environment(place.path))
    assert first.code == 0, first
    return sweep(place, ("[32, 64]", "[32, 128]"))


@cases(52, "cluster that does not answer", 5, "127.0.0.1:9", seconds=60, changes=("outputs*",))
def _(place: Place) -> Command:
    if importlib.util.find_spec("ray") is None:
        raise NotHere("Ray is not installed")
    return sweep(place, arguments=("--engine", "ray", "--address", "127.0.0.1:9"))


@cases(52, "address without --engine ray", 2, "--address", "--engine ray", changes=("outputs*",))
def _(place: Place) -> Command:
    return sweep(place, arguments=("--address", "127.0.0.1:9"))


CASES = cases.listed
