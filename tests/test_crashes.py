"""Runs survive SIGKILL and full disks: thin versions of what `benchmarks/crashes.py` does."""

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="faults are set by LD_PRELOAD"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

# The script that is done soonest.
THIN = ("--every", "127", "--experiment", "custom_dense_mnist")


@pytest.mark.parametrize(
    "arguments",
    [("random", "--kills", "3"), ("operations", *THIN), ("full-disk", *THIN)],
    ids=lambda arguments: arguments[0],
)
def test_every_run_ends_as_an_undisturbed_one(arguments):
    finished = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "crashes.py"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
