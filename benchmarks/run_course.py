"""One run of a script from its first start to its end, through every fault on the way.

After each process it is checked what is left of the run, and at the end whether the run is the
same as one that nothing disturbed.
"""

import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from run_reference import Reference, Task
from zygote import Outcome

from epochlab.checkpoint import list_checkpoints, read_newest
from epochlab.errors import RunError

NOT_RESUMABLE = 4
SHOWN_CHARACTERS = 100


def find_damaged_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints in `folder` that the product itself does not take as whole."""
    damaged = []
    for path in list_checkpoints(folder):
        with tempfile.TemporaryDirectory() as alone:
            (Path(alone) / path.name).symlink_to(path)
            try:
                read_newest(Path(alone))
            except RunError:
                damaged.append(path)
    return damaged


@dataclass
class Course:
    """The course of one run.

    Attributes:
        task: What is run.
        out: A folder of its own.
        reference: The run that it has to equal.
        run: The run folder, once it is there to be resumed.
        fault: What was done to it last, in words.
        epochs: The epochs that are saved or that the script has reported as done.
        processes: How many it took so far.
        is_over: Whether the run is finished, or beyond help.
        is_identical: Whether it is finished and equals the reference.
        counts: Of what happened, faults and defects.
        defects: What was wrong: its kind, what exactly, and the fault before.
        abandoned: Run folders that could not be resumed, before there was an epoch to lose.
    """

    task: Task
    out: Path
    reference: Reference
    run: Path | None = None
    fault: str = "undisturbed"
    epochs: int = 0
    processes: int = 0
    is_over: bool = False
    is_identical: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    defects: list[tuple[str, str, str]] = field(default_factory=list)
    abandoned: set[Path] = field(default_factory=set)

    def command(self) -> list[str]:
        """Returns the next command: go on if there is something to go on with, or start."""
        if self.run is None:
            return self.task.start_command(self.out)
        return self.task.resume_command(self.run)

    def note(self, outcome: Outcome, cut: int | None = None) -> None:
        """Takes in how a process ended.

        Args:
            outcome: Its end.
            cut: The status that it has if the fault struck, or None if there was no fault.
        """
        was_resumed = self.run is not None
        self.processes += 1
        if "Traceback" in outcome.stderr:
            self._blame("tracebacks", _last_said(outcome.stderr))
        if self.run is None:
            self.run = self._find_run()
        if self.run is not None:
            self._check_checkpoints(self.run, outcome)
        if outcome.status == cut:
            self.counts["cut off"] += 1
            if outcome.status > 0 and not _is_one_message(outcome.stderr):
                self._blame("no single message", repr(outcome.stderr))
            if self.run is None:
                self.counts["too early to resume"] += 1
        elif outcome.status == NOT_RESUMABLE and self.run is not None and self.epochs == 0:
            # Cut before the first records were complete: the next start is a new one.
            self.counts["too early to resume"] += 1
            self.abandoned.add(self.run)
            self.run = None
        elif outcome.status == 0 and self.run is not None:
            self._finish(self.run)
        else:
            verb = "resumed" if was_resumed else "started"
            message = f"{verb}, it ended with {outcome.status}: {_last_said(outcome.stderr)}"
            self._blame("wrong exit codes", message)
            # Once: the next process may mend it.
            self.is_over = self.counts["wrong exit codes"] > 1

    def _find_run(self) -> Path | None:
        runs = set((self.out / self.task.experiment).glob("*")) - self.abandoned
        return max(runs, default=None)

    def _check_checkpoints(self, run: Path, outcome: Outcome) -> None:
        for number in re.findall(r"^epoch +(\d+)/", outcome.stdout, re.MULTILINE):
            self.epochs = max(self.epochs, int(number))
        checkpoints = run / "checkpoints"
        for path in find_damaged_checkpoints(checkpoints):
            self._blame("lost checkpoints", f"{path.name} is damaged")
        newest = max(map(_epoch_number, list_checkpoints(checkpoints)), default=0)
        if newest < self.epochs:
            self._blame("lost checkpoints", f"{self.epochs} epochs were done, {newest} are saved")
        self.epochs = max(self.epochs, newest)

    def _finish(self, run: Path) -> None:
        self.is_over = True
        differences, extra = self.reference.compare(run)
        self.is_identical = not differences
        for difference in differences:
            self._blame("differing files", difference)
        for name in extra:
            self._blame("leftovers", without_process_number(name))

    def _blame(self, kind: str, message: str) -> None:
        self.counts[kind] += 1
        self.defects.append((kind, message, self.fault))

    def clear(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.out, ignore_errors=True)


def _last_said(stderr: str) -> str:
    """Returns the last error in `stderr`, or whatever it ends with, shortened."""
    lines = stderr.splitlines() or ["nothing"]
    errors = [line for line in lines if re.match(r"\w+(Error|Exception|Interrupt)\b|error: ", line)]
    return (errors or lines)[-1][:SHOWN_CHARACTERS]


def without_process_number(name: str) -> str:
    """Returns the name of a temporary file with the number of the process left out."""
    return re.sub(r"\.\d+\.tmp", ".PID.tmp", name)


def _epoch_number(checkpoint: Path) -> int:
    return int(checkpoint.stem.split("-")[1])


def _is_one_message(stderr: str) -> bool:
    return stderr.startswith("error: ") and stderr.count("error: ") == 1 and stderr.count("\n") == 1
