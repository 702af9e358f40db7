"""What the cache of pixels says of bad files: only what their content says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import load_folder
from PIL import Image

from epochlab.data import directory
from epochlab.errors import DataError

SPOILT = "train/red/0.png"


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three splits with four images of each of two classes."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    root = tmp_path / "photographs"
    for split in ("train", "validation", "test"):
        for name in ("blue", "red"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = random.integers(50, 256, (9, 8, 3), np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def _vanish(file: Path) -> None:
    file.unlink()


def _change(file: Path) -> None:
    file.write_bytes(b"half of another ima")


def _become_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("cache_limit", [1.0, 0.0], ids=["pixels", "checked"])
@pytest.mark.parametrize("on_bad", ["error", "skip"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_vanish, "No such file"),
        (_change, "has changed since this run listed it"),
        (_become_folder, "Is a directory"),
    ],
)
def test_file_that_fails_after_it_was_hashed_ends_the_run_and_leaves_no_entry(
    spoil: Callable[[Path], None],
    reason: str,
    on_bad: str,
    cache_limit: float,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    file = photographs / SPOILT
    content = file.read_bytes()
    hash_files = directory.hash_files

    def hash_and_spoil(*arguments: object) -> list[str]:
        hashes = hash_files(*arguments)
        spoil(file)
        return hashes

    monkeypatch.setattr(directory, "hash_files", hash_and_spoil)
    with pytest.raises(DataError, match=reason) as caught:
        load_folder(photographs, on_bad=on_bad, cache_limit=cache_limit)
    assert SPOILT in str(caught.value)
    assert caught.value.exit_code == 3
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))

    monkeypatch.undo()
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    if file.is_dir():
        file.rmdir()
    file.write_bytes(content)
    data = load_folder(photographs, on_bad=on_bad, cache_limit=cache_limit)
    assert SPOILT in data.train.names
    assert data.skipped == {}


def test_file_that_cannot_be_decoded_is_known_the_next_time(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
):
    (photographs / SPOILT).write_bytes(b"hello")
    first = load_folder(photographs, on_bad="skip")

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("epochlab.data.image_files.decode_image", fail)
    assert load_folder(photographs, on_bad="skip").skipped == first.skipped
    assert "is no image" in first.skipped[SPOILT]
