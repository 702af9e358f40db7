"""One trial as a process: started once only, asked to stop, its end explained."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from epochlab.exits import EXIT_INTERRUPTED
from epochlab.fleet.ledger import LOG, SETTINGS, State, find_run
from epochlab.run_lock import is_held

# By the contract.
EXIT_DIVERGED = 6
LEASH = Path(__file__).with_name("leash.py")
LOG_TAIL = 20_000
# Begins the line of the log with which each process of a trial begins.
ATTEMPT = "--- attempt "


@dataclass(frozen=True)
class Outcome:
    """How a process of a trial ended.

    Attributes:
        identity: The trial's.
        state: What that makes of the trial.
        reason: Why it did not finish, in one line.
        exit_code: What the script ended with, or minus the signal.
        seconds: How long it took.
        node: The machine.
        attempts: How many processes this trial has had, this one included.
    """

    identity: str
    state: State
    reason: str
    exit_code: int | None
    seconds: float
    node: str
    attempts: int


class TrialProcess:
    """A script at work on one trial. It goes on with the trial's run if there is one.

    Args:
        identity: The trial's.
        script: The script.
        folder: The trial's folder, with its settings.
        environment: The variables of its environment, or None for this process's.
        working_folder: The folder that relative paths in its config start from, or None for this
            process's.
        node: What the machine is called.

    Attributes:
        identity: The trial's.
        attempts: How many processes the trial has had, this one included.

    Raises:
        BlockingIOError: If an earlier process of this trial is still at work.
    """

    def __init__(
        self,
        identity: str,
        script: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
        node: str | None = None,
    ) -> None:
        self.identity = identity
        self._folder = folder
        self._node = node or os.uname().nodename
        self._stopped = False
        self._started = time.monotonic()
        # The process inherits the file, and with it the lock: it ends when the process does.
        with _lock_log(folder / LOG) as log:
            self.attempts = _count_attempts(folder / LOG) + 1
            log.write(f"{ATTEMPT}{self.attempts} on {self._node}\n".encode())
            log.flush()
            self._begins = log.tell()
            run = find_run(folder)
            arguments = (
                ["--resume", str(run.path)]
                if run is not None
                else ["--config", str(folder / SETTINGS), "--out", str(folder)]
            )
            self._process = subprocess.Popen(
                [sys.executable, str(LEASH), str(os.getpid()), str(script), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=working_folder,
                # Ctrl-C is for the driver, which hands it on.
                start_new_session=True,
            )

    def poll(self) -> Outcome | None:
        """Returns how it ended, or None while it is at work."""
        code = self._process.poll()
        if code is None:
            return None
        state, reason = self._explain(code)
        seconds = time.monotonic() - self._started
        return Outcome(self.identity, state, reason, code, seconds, self._node, self.attempts)

    def stop(self) -> None:
        """Asks the script to save and end; the second time, to end at once."""
        self._stopped = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the script at once."""
        self._process.kill()
        self._process.wait()

    def _explain(self, code: int) -> tuple[State, str]:
        if code == 0:
            return "finished", ""
        said = self._last_message()
        if code == EXIT_DIVERGED:
            return "diverged", said
        if code == EXIT_INTERRUPTED or (self._stopped and code < 0):
            return "interrupted", "stopped before its end"
        if code < 0:
            name = signal.Signals(-code).name
            return "failed", f"killed by {name}; if memory ran out, give a smaller batch_size"
        return "failed", said or f"ended with exit code {code}"

    def _last_message(self) -> str:
        """Returns the error that the script printed last, without the path of the run."""
        with contextlib.suppress(OSError), (self._folder / LOG).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._begins, size - LOG_TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
            lines = [line for line in lines if line.strip() and not line.startswith("run: ")]
            errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
            said = (errors or lines or [""])[-1].strip()
            return re.sub(rf"^{re.escape(str(self._folder))}\S*: ", "", said)
        return ""


def is_at_work(folder: Path) -> bool:
    """Tells whether a process of this machine is at work on the trial in `folder`."""
    return is_held(folder / LOG)


def _count_attempts(path: Path) -> int:
    with path.open("rb") as log:
        return sum(line.startswith(ATTEMPT.encode()) for line in log)


def _lock_log(path: Path) -> IO[bytes]:
    log = path.open("ab")
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.close()
        raise
    return log
