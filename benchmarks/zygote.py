"""Runs a script again and again, each time in a fork of one process that has TensorFlow loaded.

A fault can be set for each time: SIGKILL at a file operation, or a full disk from one on. The fork
saves the seconds that loading TensorFlow takes; its runtime starts in the fork only.

Started as a program, under `faults.so`, this is that process: it takes an order per line on
standard input and answers each with a line on standard output.
"""

import ctypes
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

SECONDS_BEFORE_GIVING_UP = 300


class Action(IntEnum):
    """What happens at the chosen file operation, by the numbers in `faults.c`."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    FILL_DISK = 3
    KILL_HALFWAY = 4


@dataclass(frozen=True)
class Fault:
    """A fault to come.

    Attributes:
        folder: Only operations on files below this folder count.
        at: The number of the operation, from 1; with `FILL_DISK`, among those that need space.
        action: What happens there.
    """

    folder: Path
    at: int
    action: Action


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        status: Its exit code, or minus the signal that killed it.
        stdout: What it printed.
        stderr: What it printed as errors.
        operations: The file operations that counted, in order: name and path.
    """

    status: int
    stdout: str
    stderr: str
    operations: list[str] = field(default_factory=list)


def compile_library(folder: Path) -> Path:
    """Compiles `faults.c` and returns the library's path in `folder`."""
    if sys.platform != "linux":
        raise SystemExit("faults are set by LD_PRELOAD: this works on Linux only")
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("there is no C compiler `cc`; install one, gcc for example")
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    options = ["-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    return library


class Zygote:
    """The process that forks, seen from outside.

    Args:
        library: The compiled `faults.c`.
        folder: Takes the output of the forks.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, words: Sequence[str], fault: Fault | None = None) -> Outcome:
        """Runs a script in a fork.

        Args:
            words: The script's path and its arguments.
            fault: What is to happen to it, if anything.
        """
        files = {name: self.folder / name for name in ("stdout", "stderr", "operations")}
        order = {
            "words": list(words),
            "files": {name: str(path) for name, path in files.items()},
            "fault": fault and [str(fault.folder), fault.at, int(fault.action)],
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the process that forks has ended; does TensorFlow load?")
        stdout, stderr, operations = (path.read_text(errors="replace") for path in files.values())
        return Outcome(int(answer), stdout, stderr, operations.splitlines())

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve() -> None:
    """Carries out orders until standard input ends."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # Only loaded: a runtime that has started, with its threads, would not survive the fork.
    import h5py  # noqa: F401
    import keras  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401
    import tensorflow as tf  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _carry_out(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _carry_out(order: dict) -> NoReturn:
    """Runs the script in this process, which ends with it."""
    status = 1
    try:
        _redirect(order["files"])
        signal.alarm(SECONDS_BEFORE_GIVING_UP)
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        if order["fault"] is not None:
            folder, at, action = order["fault"]
            trace = os.open(order["files"]["operations"], os.O_WRONLY)
            library.faults_trace(trace)
            library.faults_arm(os.fsencode(folder), ctypes.c_long(at), action)
        sys.argv = order["words"]
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: the loop that forked must not go on in here too.
        os._exit(status)


def _redirect(files: dict[str, str]) -> None:
    for path in files.values():
        Path(path).write_bytes(b"")
    targets = (os.devnull, files["stdout"], files["stderr"])
    for number, (path, flags) in enumerate(
        zip(targets, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    serve()
