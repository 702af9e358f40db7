"""What several cases share: small good data, a finished run, one that was killed, measures."""

import itertools
import shutil
import signal
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from command import Command, Outcome, run, script, send
from conftest import make_digits

EPOCHS = 12
KILLED_AFTER = "epoch  3/12"


class Workshop:
    """Makes each thing when it is first asked for.

    Args:
        base: A folder for all of it.

    Attributes:
        base: The folder.
        answered: Name of a process that several cases look at -> its place and answer.
    """

    # Beyond what a command takes to start. A training has its arrays, graphs and pictures.
    MORE_BYTES: Mapping[str, int] = {"little": 100 * 2**20, "tensorflow": 400 * 2**20}

    def __init__(self, base: Path) -> None:
        self.base = base
        self._numbers = itertools.count(1)
        self._starting: dict[str, Outcome] = {}
        self.answered: dict[str, Any] = {}

    def new_folder(self) -> Path:
        """Makes an empty folder for a case."""
        folder = self.base / f"case{next(self._numbers)}"
        folder.mkdir()
        return folder

    def environment(self, folder: Path) -> dict[str, str | None]:
        """Returns what a command is run with: temporary files fall into the watched folder."""
        return {
            "EPOCHLAB_CACHE": str(self.base / "cache"),
            "TMPDIR": str(folder),
            "COLUMNS": "80",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def starting(self, loads: str) -> Outcome:
        """Returns what a good command of this kind takes that has hardly anything to do."""
        if loads not in self._starting:
            words = script("lenet_mnist", "--help")
            if loads == "tensorflow":
                words = script("mlp_mnist_relu", "--dry-run", settings=[f"data.path={self.digits}"])
            self._starting[loads] = self._run(Command(words), self.base)
        return self._starting[loads]

    @cached_property
    def digits(self) -> Path:
        """400 + 50 images of 12 x 12 pixels in four classes."""
        return make_digits(self.base / "digits.npz", train=400)

    @cached_property
    def _runs(self) -> Path:
        folder = self.base / "runs"
        folder.mkdir()
        shutil.copy(self.digits, folder)
        return folder

    @cached_property
    def finished_run(self) -> Path:
        """A finished run of `mlp_mnist_relu`."""
        return self._train("finished")

    @cached_property
    def killed_run(self) -> Path:
        """A run of the same settings that was killed at its third epoch."""
        return self._train("killed", (KILLED_AFTER, send(signal.SIGKILL)))

    def copy_run(self, run_folder: Path, to: Path) -> Path:
        """Copies a run, and the data it is of, to a case's folder."""
        shutil.copy(self.digits, to)
        return shutil.copytree(run_folder, to / "outputs" / "mlp_mnist_relu" / "run")

    def _train(self, out: str, *during) -> Path:
        settings = ["data.path=digits.npz", f"training.epochs={EPOCHS}", "training.batch_size=32"]
        words = script("mlp_mnist_relu", "--out", out, settings=settings)
        outcome = self._run(Command(words, {}, during), self._runs, check=not during)
        assert bool(during) == (outcome.code != 0), outcome
        (found,) = (self._runs / out / "mlp_mnist_relu").iterdir()
        return found

    def _run(self, command: Command, folder: Path, *, check: bool = True) -> Outcome:
        outcome = run(command, folder, self.environment(folder))
        assert not check or outcome.code == 0, outcome
        return outcome
