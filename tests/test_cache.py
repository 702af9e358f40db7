"""The cache: found by its key, whole or absent, bounded, listed and pruned."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from epochlab.data.cache import find_or_make, mapped_reader, new_array, open_array
from epochlab.data.cache_entries import cache_folder, list_entries, make_room
from epochlab.errors import EnvironmentFault

DAY = 24 * 60 * 60


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))


def read(folder: Path) -> str | None:
    try:
        return (folder / "text").read_text()
    except OSError:
        return None


def _write(folder: Path, content: str) -> None:
    (folder / "text").write_text(content)


def make(name: str, content: str = "content", **options: int) -> str:
    return find_or_make(
        "features",
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
        find_or_make("features", hashlib.sha256(b"a"), {}, read, fail)
    assert list((tmp_path / "cache" / "features").iterdir()) == []


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
        results.append(find_or_make("features", hashlib.sha256(b"a"), {}, read, slow))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["whole"] * 4
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1


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
    for name, age in ((".making-0_new_a1", 0), (".making-0_old_a1", 2 * DAY)):
        folder = tmp_path / "cache" / "features" / name
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    assert make_room("features", 2**20) == []
    left = {folder.name for folder in (tmp_path / "cache" / "features").iterdir()}
    assert ".making-0_new_a1" in left
    assert ".making-0_old_a1" not in left
    assert len(left) == 2


def test_one_in_the_making_would_be_found_if_its_process_died(tmp_path: Path):
    def die(folder: Path) -> None:
        (folder / "text").write_text("half")
        folder.rename(folder.parent / "moved")  # what a killed process cannot tidy up
        raise RuntimeError(folder.name)

    with pytest.raises(RuntimeError) as died:
        find_or_make("features", hashlib.sha256(b"a"), {}, read, die)
    left = tmp_path / "cache" / "features" / str(died.value)
    (left.parent / "moved").rename(left)
    os.utime(left, (1, 1))
    make_room("features", 2**20)
    assert not left.exists()


def keep_other_things(cache_place: Path) -> set[Path]:
    """Fills the cache's folder with what somebody else keeps there; returns all files of that."""
    entry = hashlib.sha256(b"theirs").hexdigest()
    elsewhere = cache_place.parent / "elsewhere"
    places = [
        elsewhere,
        cache_place / "holidays" / "2024",
        cache_place / "holidays" / entry,  # of no kind that there is
        cache_place / "holidays" / ".making-0_old_a1",
        cache_place / "features" / "of mine",
        cache_place / "features" / entry[:40],
        cache_place / "features" / ".making-coffee",
        cache_place / "features" / ".making-0_OLD_A1",
    ]
    for place in places:
        place.mkdir(parents=True)
        (place / "about.json").write_text("{}")
        (place / "photo.jpg").write_text("x" * 1000)
        os.utime(place, (1, 1))
    (cache_place / "pixels" / entry).mkdir(parents=True)
    (cache_place / "pixels" / entry / "photo.jpg").write_text("x" * 1000)
    (cache_place / "features" / entry).symlink_to(elsewhere)
    (cache_place / "features" / ".making-0_old_a2").symlink_to(elsewhere)
    return {file for file in cache_place.parent.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "remove",
    [
        lambda: run_command("prune"),
        lambda: make_room(None, 0),
        lambda: make_room("features", 0),
        lambda: make("new", "x" * 1000, size=1000, limit=0),
    ],
    ids=["prune", "make room", "of one kind", "within a training"],
)
def test_what_others_keep_in_the_folder_stays(remove: Callable[[], object], tmp_path: Path):
    theirs = keep_other_things(tmp_path / "cache")
    make("mine", "x" * 1000)
    (mine,) = list_entries()
    assert "1 entries" in run_command("list")
    remove()
    assert not mine.place.exists()
    assert {file for file in theirs if file.is_file()} == theirs
    assert [entry.about["source"] for entry in list_entries()] in ([], ["new"])


def test_entry_that_may_not_be_removed_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch):
    make("a")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert make_room(None, 0) == []
    assert len(list_entries()) == 1


def test_removal_that_is_broken_off_leaves_no_half_entry(monkeypatch: pytest.MonkeyPatch):
    make("a")
    (entry,) = list_entries()
    os.utime(entry.place, (1, 1))
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    make_room(None, 0)
    assert list_entries() == []
    monkeypatch.undo()
    (left,) = entry.place.parent.iterdir()
    monkeypatch.setenv("EPOCHLAB_CACHE", str(left.parent.parent))
    make_room(None, 0)
    assert not left.exists()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_entry_has_the_usual_rights(umask: int):
    before = os.umask(umask)
    try:
        make("a")
    finally:
        os.umask(before)
    (entry,) = list_entries()
    assert entry.place.stat().st_mode & 0o777 == 0o777 & ~umask
    for file in entry.place.iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["", "text"])
def test_entry_that_another_user_closed_is_said_to_be_that(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    make("a")
    (entry,) = list_entries()
    # A relative path, as another user than root may not go through pytest's own folder.
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("EPOCHLAB_CACHE", "cache")
    closed = entry.place / name
    closed.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # nothing is closed to root
    try:
        with pytest.raises(EnvironmentFault) as caught:
            make("a")
    finally:
        if is_root:
            os.seteuid(0)
        closed.chmod(0o700)
    words = str(caught.value)
    assert str(closed.relative_to(tmp_path)) in words
    assert "Permission denied" in words
    assert "rights" in words
    assert "EPOCHLAB_CACHE" in words
    assert "damaged" not in capsys.readouterr().out


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
    monkeypatch.setattr("epochlab.data.cache.MAPPED_BYTES", mapped_bytes)
    array = open_array(tmp_path / "a.npy", "uint8", rows.shape)
    assert array is not None
    read = mapped_reader(array)
    before = resident_file_bytes()
    for position in range(64):
        np.testing.assert_array_equal(read(np.array([position])), rows[[position]])
    assert (resident_file_bytes() - before < 16 * 2**20) == gives_back
