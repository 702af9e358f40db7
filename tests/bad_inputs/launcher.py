"""Starts a command as a small process and writes down what it took.

    python -I -S launcher.py RECORD COMMAND...

The peak memory that Linux tells of a child is at least that of the process it was forked from, so
that of the tests' own, heavy process would count as the command's.
"""

import json
import os
import signal
import sys


def main() -> None:
    record, *command = sys.argv[1:]
    # A test run in the background of a shell ignores Ctrl-C, and its children would inherit that.
    defaults = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE]
    child = os.posix_spawn(command[0], command, os.environ, setsigdef=defaults)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _write(record, {"pid": child})
    _, status, usage = os.wait4(child, 0)
    _write(
        record,
        {
            "pid": child,
            "code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        },
    )


def _write(record: str, values: dict) -> None:
    with open(record + ".new", "w") as opened:
        json.dump(values, opened)
    os.replace(record + ".new", record)


main()
