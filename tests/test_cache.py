"""The cache: found by its key, whole or absent, bounded, listed and pruned."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from epochlab.data import cache
from epochlab.data.cache import (
    cache_folder,
    find_or_make,
    list_entries,
    make_room,
    mapped_reader,
    new_array,
    open_array,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))


def read(folder: Path) -> str | None:
    file = folder / "text"
    return file.read_text() if file.is_file() else None


def _write(folder: Path, content: str) -> None:
    (folder / "text").write_text(content)


def make(name: str, content: str = "content", **options: int) -> str:
    return find_or_make(
        "texts",
        hashlib.sha256(name.encode()),
        {"source": name, "images": 3},
        read,
        lambda folder: _write(folder, content),
        **options,
    )


def test_second_time_comes_from_the_cache():
    assert make("a", "first") == "first"
    assert make("a", "second") == "first"
    assert make("b", "second") == "second"


def test_failure_leaves_nothing(tmp_path: Path):
    def fail(folder: Path) -> None:
        (folder / "text").write_text("half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        find_or_make("texts", hashlib.sha256(b"a"), {}, read, fail)
    assert list((tmp_path / "cache" / "texts").iterdir()) == []


def test_damaged_entry_is_made_again_and_said_so(capsys: pytest.CaptureFixture[str]):
    make("a")
    (entry,) = list_entries()
    (entry.place / "text").unlink()
    assert make("a", "again") == "again"
    assert "is damaged; made again" in capsys.readouterr().out


def test_two_at_once_get_the_same(tmp_path: Path):
    barrier, results = threading.Barrier(4), []

    def slow(folder: Path) -> None:
        (folder / "text").write_text("whole")
        time.sleep(0.05)

    def run() -> None:
        barrier.wait()
        results.append(find_or_make("texts", hashlib.sha256(b"a"), {}, read, slow))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["whole"] * 4
    assert len(list((tmp_path / "cache" / "texts").iterdir())) == 1


def test_what_was_used_longest_ago_makes_room():
    make("old", "x" * 1000)
    make("new", "x" * 1000)
    old, new = list_entries()
    os.utime(old.place, (1, 1))
    make("old", "")  # used again
    os.utime(new.place, (2, 2))
    make("third", "x" * 1000, size=1000, limit=2500)
    assert [entry.about["source"] for entry in list_entries()] == ["old", "third"]


def test_what_a_dead_process_left_is_removed_after_a_day(tmp_path: Path):
    make("a")
    for name, age in ((".making-now", 0), (".making-old", 2 * 24 * 60 * 60)):
        folder = tmp_path / "cache" / "texts" / name
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    assert make_room("texts", 2**20) == []
    left = {folder.name for folder in (tmp_path / "cache" / "texts").iterdir()}
    assert ".making-now" in left
    assert ".making-old" not in left
    assert len(left) == 2


def test_array_on_a_full_disk_fails_before_it_is_written(tmp_path: Path, monkeypatch):
    def no_room(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(OSError, match="No space"), new_array(tmp_path / "a.npy", "uint8", (3,)):
        pass


def test_new_array_is_readable_as_npy(tmp_path: Path):
    with new_array(tmp_path / "a.npy", "float32", (3, 2)) as append:
        append(np.array([[1, 2]], np.float32))
        append(np.array([[3, 4], [5, 6]], np.float32))
    assert np.load(tmp_path / "a.npy").tolist() == [[1, 2], [3, 4], [5, 6]]


def test_array_that_is_not_filled_is_refused(tmp_path: Path):
    with (
        pytest.raises(ValueError, match="were written"),
        new_array(tmp_path / "a.npy", "uint8", (3, 2)) as append,
    ):
        append(np.zeros((1, 2), np.uint8))


def run_command(*arguments: str) -> str:
    command = [sys.executable, "-m", "epochlab.cli", "cache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_command_lists_and_prunes():
    make("/photographs", "x" * 2048)
    make("/a/very/long/path/to/a/folder/of/other/photographs", "y")
    listed = run_command("list")
    assert "/photographs" in listed
    assert "2 entries" in listed
    assert max(map(len, listed.splitlines()[:-1])) <= 80
    assert "removed 1 entries" in run_command("prune", "--keep", "0.000001")
    assert "removed 1 entries" in run_command("prune")
    assert list_entries() == []


def test_entry_says_what_it_was_made_of():
    make("a")
    (entry,) = list_entries()
    assert json.loads((entry.place / "about.json").read_text()) == {"source": "a", "images": 3}
    assert entry.place.is_relative_to(cache_folder())


def resident_file_bytes() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "RssFile" in line
    )
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's figures")
@pytest.mark.parametrize(("mapped_bytes", "gives_back"), [(2**20, True), (2**30, False)])
def test_what_was_read_of_a_mapped_file_does_not_stay_in_memory(
    mapped_bytes, gives_back, tmp_path, monkeypatch
):
    rows = np.random.default_rng(0).integers(0, 256, (64, 2**20), np.uint8)
    np.save(tmp_path / "a.npy", rows)
    monkeypatch.setattr(cache, "MAPPED_BYTES", mapped_bytes)
    array = open_array(tmp_path / "a.npy", "uint8", rows.shape)
    assert array is not None
    read = mapped_reader(array)
    before = resident_file_bytes()
    for position in range(64):
        np.testing.assert_array_equal(read(np.array([position])), rows[[position]])
    assert (resident_file_bytes() - before < 16 * 2**20) == gives_back
