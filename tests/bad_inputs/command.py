"""A command as a user gives it, run in a process of its own and measured."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conftest import SCRIPTS

# So long a command may hang on a machine that has other things to do.
HANGS_SECONDS = 1800


@dataclass(frozen=True)
class Command:
    """What is run.

    Attributes:
        words: The program and its arguments.
        environment: Variables beside those of the tests; None removes one.
        during: What happens once a text stands on stdout, in turn: text and a function of the
            process's number.
    """

    words: Sequence[str]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    during: Sequence[tuple[str, Callable[[int], object]]] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        code: Exit code; minus the signal's number if one ended it.
        stdout: What it printed.
        stderr: What it said.
        cpu_seconds: Time on the CPU, with that of processes that it started and waited for.
        peak_bytes: Memory of the largest of them.
    """

    code: int
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_bytes: int


def script(name: str, *arguments: str | Path, settings: Sequence[str] = ()) -> list[str]:
    """Returns the words that run `scripts/NAME.py`."""
    sets = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments), *sets]


def epochlab(*arguments: str | Path) -> list[str]:
    """Returns the words that run `epochlab`."""
    return [sys.executable, "-m", "epochlab.cli", *map(str, arguments)]


def send(number: signal.Signals) -> Callable[[int], None]:
    """Returns a function that sends a process a signal."""
    return lambda pid: os.kill(pid, number)


def run(command: Command, folder: Path, base_environment: Mapping[str, str | None]) -> Outcome:
    """Runs a command in `folder`."""
    environment = {**os.environ, **base_environment, **command.environment}
    launcher = str(Path(__file__).with_name("launcher.py"))
    with tempfile.TemporaryDirectory() as place:
        record, out, err = (Path(place) / name for name in ("record", "out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", launcher, str(record), *command.words],
                cwd=folder,
                env={name: value for name, value in environment.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            _attend(process, command, record, out)
        finally:
            if process.poll() is None:
                os.kill(_read(record)["pid"], signal.SIGKILL)
                process.wait()
        told = _read(record)
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
        return Outcome(told["code"], *texts, told["cpu_seconds"], told["peak_bytes"])


def _attend(process: subprocess.Popen, command: Command, record: Path, out: Path) -> None:
    """Waits for the end, and does meanwhile what is to happen meanwhile."""
    ends = time.monotonic() + HANGS_SECONDS
    waiting = list(command.during)
    while process.poll() is None:
        if waiting and waiting[0][0] in out.read_text(errors="replace"):
            waiting.pop(0)[1](_read(record)["pid"])
        elif time.monotonic() > ends:
            raise AssertionError(f"hangs: {command.words}")
        else:
            time.sleep(0.01)
    assert not waiting, f"{command.words} never printed {waiting[0][0]!r}"


def _read(record: Path) -> dict:
    while not record.exists():
        time.sleep(0.01)
    return json.loads(record.read_text())
