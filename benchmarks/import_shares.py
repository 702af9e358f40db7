"""Which packages the seconds of importing go to, from `python -X importtime`."""

import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \| +(\S+)$", re.MULTILINE)
STANDARD_LIBRARY = "(standard library)"
LARGEST = 10

# Epochlab takes stderr away while TensorFlow loads, and with it the lines looked for here.
RUN_WITH_STDERR = """
import contextlib, runpy, sys
import epochlab.quiet
epochlab.quiet.held_back_stderr = contextlib.nullcontext
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def measure_imports(
    command: Sequence[str], expected_status: int = 0, *, loads_tensorflow: bool = False
) -> dict[str, float]:
    """Runs a script and returns the seconds that each top-level package takes to import.

    Of each module its own time counts, without what it imports in turn, so the packages add up to
    the whole. Modules of Python's standard library are one package here.

    Args:
        command: The interpreter, the script and its arguments.
        expected_status: How the script is to end.
        loads_tensorflow: Whether it does.
    """
    interpreter, *script = command
    frame = ["-c", RUN_WITH_STDERR] if loads_tensorflow else []
    watched = [interpreter, "-X", "importtime", *frame, *script]
    ended = subprocess.run(watched, capture_output=True, text=True, errors="replace")
    if ended.returncode != expected_status:
        raise SystemExit(
            f"{' '.join(script)} ended with {ended.returncode}: {ended.stderr[-2000:]}"
        )
    seconds: defaultdict[str, float] = defaultdict(float)
    for microseconds, module in LINE.findall(ended.stderr):
        package = module.partition(".")[0]
        standard = package in sys.stdlib_module_names or package.startswith("_sysconfigdata")
        seconds[STANDARD_LIBRARY if standard else package] += int(microseconds) / 1e6
    return dict(seconds)


def summarise_imports(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Returns the median seconds of the whole and of each package, the largest first."""
    packages = sorted({package for round_ in rounds for package in round_})
    medians = {
        package: statistics.median(round_.get(package, 0.0) for round_ in rounds)
        for package in packages
    }
    ordered = dict(sorted(medians.items(), key=lambda pair: -pair[1]))
    return {"whole": [sum(round_.values()) for round_ in rounds], "packages": ordered}


def print_imports(heading: str, summary: dict[str, Any]) -> None:
    """Prints a table of the largest packages and what the others are together."""
    packages = summary["packages"]
    whole = sum(packages.values())
    rows = list(packages.items())[:LARGEST]
    others = len(packages) - len(rows)
    if others > 0:
        rows.append((f"{others} others", whole - sum(seconds for _, seconds in rows)))
    print(f"\n{heading}: {whole:.2f} s of imports\n")
    print("| package | own time, s | share |\n| --- | ---: | ---: |")
    for package, seconds in rows:
        print(f"| {package} | {seconds:.3f} | {seconds / whole:.1%} |")
