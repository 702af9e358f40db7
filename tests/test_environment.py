"""What `environment.py` says of the machine and of this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from epochlab.environment import peak_memory_bytes

PROGRAM = (
    "from epochlab.environment import peak_memory_bytes\n"
    "before = peak_memory_bytes()\n"
    "block = bytes(b'x') * 300_000_000\n"
    "held = peak_memory_bytes()\n"
    "del block\n"
    "print(before, held, peak_memory_bytes())\n"
)


def peaks() -> list[int]:
    """What a new process says before, with and after 300 MB."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return [int(text) for text in ran.stdout.split()]


def test_peak_memory_is_in_bytes_and_stays_when_memory_is_given_back():
    before, held, after = peaks()
    assert 290_000_000 < held - before < 330_000_000
    assert after > held - 10_000_000  # Linux counts pages in batches


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what other systems count")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one():
    block = b"x" * 1_000_000_000
    before, _, _ = peaks()
    assert before < len(block) / 2


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_without_proc_it_is_what_getrusage_says_in_the_units_of_the_system(
    system: str, unit: int, monkeypatch: pytest.MonkeyPatch
):
    resource = pytest.importorskip("resource")
    hide_proc(monkeypatch)
    monkeypatch.setattr(sys, "platform", system)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    monkeypatch.setattr(resource, "getrusage", lambda _: usage)
    assert peak_memory_bytes() == usage.ru_maxrss * unit


def test_peak_memory_is_none_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch):
    hide_proc(monkeypatch)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_bytes() is None


def hide_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
