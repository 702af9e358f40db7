"""Rows 48 to 50: training that goes wrong, and odd surroundings."""

import shutil

from case import Case, Cases, Place
from command import Command, Outcome, epochlab, script
from run_rows import RUN, checkpoints, killed

cases = Cases()


def check_finite(place: Place, _: Outcome) -> None:
    folder = place.path / RUN
    before = [path.name for path in checkpoints(place.workshop.killed_run)]
    assert [path.name for path in checkpoints(folder)] == before


@cases(
    48, "learning rate of 1e30 in a run so far good", 6, "the loss is ", "in epoch ", "step ",
    "learning rate 1e+30", "whole epochs are kept", "a lower learning_rate",
    loads="tensorflow", seconds=30, changes=(f"{RUN}*",), check=check_finite,
)  # fmt: skip
def _(place: Place) -> Command:
    killed(place)
    rate = "training.optimizer.learning_rate=1e30"
    words = script("mlp_mnist_relu", "--resume", RUN, "--allow-changes", settings=[rate])
    return Command(words)


@cases(
    49, "batch larger than the data", 0, "1 batches of 1000000", loads="tensorflow",
    answers="report",
)  # fmt: skip
def _(place: Place) -> Command:
    shutil.copy(place.workshop.digits, place.path)
    settings = ["data.path=digits.npz", "training.batch_size=1000000"]
    return Command(script("mlp_mnist_relu", "--dry-run", settings=settings))


# 50: one training in a place where everything is odd at once.

FUTURE = "20991231T235959Z-seed1"
ODD = {
    "HOME": None, "TERM": None, "DISPLAY": None, "LANG": "C", "LC_ALL": "C",
    "TZ": "Europe/Berlin", "USER": None, "LOGNAME": None,
}  # fmt: skip


def make_odd(place: Place) -> Command:
    folder = place.path / "r\u00e9sum\u00e9"
    (folder / "mlp_mnist_relu" / FUTURE).mkdir(parents=True)
    shutil.copy(place.workshop.digits, place.path / "d\u00e9j\u00e0.npz")
    settings = ["data.path=d\u00e9j\u00e0.npz", "training.epochs=1", "training.batch_size=32"]
    words = script("mlp_mnist_relu", "--out", folder.name, settings=settings)
    return Command(words, ODD)


def check_odd(place: Place, outcome: Outcome) -> None:
    folder = place.path / "r\u00e9sum\u00e9" / "mlp_mnist_relu"
    made = {path.name for path in folder.iterdir()} - {FUTURE}
    (name,) = made
    assert outcome.stdout.rstrip().endswith(name)
    assert name.endswith("Z-seed1")
    for file in ("metrics.json", "accuracy.png", "confusion.png", "model.h5"):
        assert (folder / name / file).stat().st_size
    assert "\x1b" not in outcome.stdout and "\r" not in outcome.stdout


def odd(name: str) -> None:
    more = {"loads": "tensorflow", "answers": "report", "seconds": 60.0, "once": "odd"}
    more |= {"changes": ("*/mlp_mnist_relu/*",), "check": check_odd}
    cases.listed.append(Case(50, name, make_odd, 0, ("run: ",), **more))


odd("no HOME, TERM or DISPLAY")
odd("LANG=C and names beyond ASCII")
odd("clock behind that of an earlier run")
odd("zone with summer time")


@cases(50, "no HOME for the cache", 0, "0 entries", answers="report")
def _(place: Place) -> Command:
    home = {"HOME": None, "EPOCHLAB_CACHE": None, "XDG_CACHE_HOME": "empty"}
    return Command(epochlab("cache", "list"), home)


@cases(50, "message beyond ASCII where LANG=C", 2, "--set model.r", "unknown key")
def _(place: Place) -> Command:
    # Also where Python is told not to take UTF-8 for granted.
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return Command(script("lenet_mnist", "--set", "model.r\u00e9sum\u00e9=1"), ODD | ascii_only)


@cases(50, "no stdout", 2, "--set seed: expected", answers="signal")
def _(place: Place) -> Command:
    shell = shutil.which("sh") or "/bin/sh"
    return Command([shell, "-c", '"$@" >&-', "sh", *script("lenet_mnist", "--set", "seed=x")])


@cases(50, "reader that has seen enough", 0, "usage: ", answers="report")
def _(place: Place) -> Command:
    shell = shutil.which("sh") or "/bin/sh"
    words = [shell, "-c", '"$@" | head -n 1', "sh", *script("lenet_mnist", "--help")]
    return Command(words)


CASES = cases.listed
