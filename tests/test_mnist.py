"""Reading MNIST and files in its layout: what is accepted, what is refused and with which words."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits

from epochlab.data.images import Split, limit_split
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.errors import ConfigError, DataError


def load(path: Path | None, *, limit: int | None = None, fraction: float = 0.0):
    return load_mnist(
        MnistConfig(
            path=path and str(path), limit=limit, validation_fraction=fraction, augment=None
        )
    )


def rewrite(path: Path, **changes: np.ndarray) -> Path:
    """Puts other arrays into the file; None drops one."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_shipped_mnist_is_whole_and_stays_uint8():
    data = load(None, fraction=0.2)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 48_000, "validation": 12_000, "test": 10_000}
    assert data.train.images.dtype == np.uint8
    assert data.image_shape == (28, 28, 1)
    assert data.num_classes == 10


def test_validation_is_the_last_part_of_the_training_images(digits: Path):
    data = load(digits, fraction=0.3)
    assert data.validation is not None
    assert data.train.names == tuple(map(str, range(140)))
    assert data.validation.names == tuple(map(str, range(140, 200)))


def test_no_validation_fraction_trains_on_everything(digits: Path):
    data = load(digits)
    assert data.validation is None
    assert len(data.train) == 200


def test_fingerprint_is_that_of_the_arrays_whatever_the_archive(digits: Path, tmp_path: Path):
    with np.load(digits) as archive:
        np.savez_compressed(tmp_path / "packed.npz", **archive)
    before = load(digits).fingerprint
    assert load(tmp_path / "packed.npz").fingerprint == before
    changed = np.load(digits)["x_train"]
    changed[0, 0, 0] ^= 1
    assert load(rewrite(digits, x_train=changed)).fingerprint != before


def test_colour_images_and_column_labels_are_accepted(tmp_path: Path):
    path = make_digits(tmp_path / "colour.npz", side=16)
    with np.load(path) as archive:
        arrays = dict(archive)
    colour = {name: np.repeat(arrays[name][..., None], 3, -1) for name in ("x_train", "x_test")}
    columns = {name: arrays[name][:, None].astype(np.int64) for name in ("y_train", "y_test")}
    data = load(rewrite(path, **colour, **columns))
    assert data.image_shape == (16, 16, 3)
    assert data.train.labels.dtype == np.int32


def test_limit_keeps_the_class_shares_and_the_order():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10, np.int32)
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    limited = limit_split(Split(images, labels, tuple(map(str, range(100)))), 20, 3)
    assert np.bincount(limited.labels).tolist() == [12, 6, 2]
    assert limited.names[:2] == ("0", "1")
    assert list(map(int, limited.names)) == sorted(map(int, limited.names))


@pytest.mark.parametrize("limit", [3, 4, 7, 11, 50, 99, 100, 500])
def test_limit_is_met_exactly_and_loses_no_class(limit: int):
    labels = np.array([0] * 97 + [1, 2, 2], np.int32)
    images = np.zeros((100, 1, 1, 1), np.uint8)
    limited = limit_split(Split(images, labels, tuple(map(str, range(100)))), limit, 3)
    assert len(limited) == min(limit, 100)
    assert set(limited.labels.tolist()) == {0, 1, 2}


def test_limit_below_the_number_of_classes_is_refused(digits: Path):
    with pytest.raises(ConfigError, match=r"data\.limit: 3 .* at least 4"):
        load(digits, limit=3)


def test_description_counts_images_per_class_and_split(digits: Path):
    described = load(digits, fraction=0.5).describe()
    assert described["images"] == {"train": 100, "validation": 100, "test": 50}
    assert described["images_per_class"]["test"] == {"0": 13, "1": 13, "2": 12, "3": 12}  # pyright: ignore[reportIndexIssue]


def refuse(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_missing_file(tmp_path: Path):
    assert "no such file" in refuse(tmp_path / "none.npz")


def test_folder_instead_of_a_file(tmp_path: Path):
    assert "a folder" in refuse(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04" + b"\0" * 100])
def test_foreign_file(tmp_path: Path, content: bytes):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    assert "cannot be read" in refuse(path)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_file(digits: Path, part: float):
    whole = digits.read_bytes()
    digits.write_bytes(whole[: int(len(whole) * part)])
    assert "cannot be read" in refuse(digits)


def test_flipped_byte_inside_an_array(digits: Path):
    damaged = bytearray(digits.read_bytes())
    damaged[5_000] ^= 0xFF
    digits.write_bytes(damaged)
    assert "cannot be read" in refuse(digits)


def test_missing_array_is_named_beside_those_found(digits: Path):
    message = refuse(rewrite(digits, y_test=None, labels=np.zeros(3)))  # pyright: ignore[reportArgumentType]
    assert "lacks y_test" in message
    assert "labels" in message


def test_objects_are_never_unpickled(digits: Path):
    message = refuse(rewrite(digits, y_test=np.array([print] * 50, dtype=object)))
    assert "Python objects, which are not loaded" in message


def test_archive_that_declares_too_much_is_refused_unread(digits: Path, monkeypatch):
    monkeypatch.setattr("epochlab.data.mnist.MAXIMUM_BYTES", 1_000)
    assert "declares" in refuse(digits)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"x_train": np.zeros((200, 12, 12), np.float32)}, "x_train is float32"),
        ({"x_train": np.zeros((200, 144), np.uint8)}, "shape (200, 144)"),
        ({"x_train": np.zeros((200, 12, 12, 2), np.uint8)}, "2 channels"),
        ({"x_train": np.zeros((0, 12, 12), np.uint8)}, "shape (0, 12, 12)"),
        ({"y_train": np.zeros(199, np.uint8)}, "shape (199,)"),
        ({"y_train": np.zeros(200, np.float32)}, "y_train is float32"),
        ({"y_train": np.zeros(200, np.uint8)}, "one class only"),
        ({"y_train": np.full(200, -1)}, "from -1"),
        ({"y_train": np.arange(200) % 2 * 2}, "1 never occur"),
        ({"y_test": np.full(50, 9, np.uint8)}, "classes that y_train lacks: 9"),
        ({"x_test": np.zeros((50, 10, 10), np.uint8)}, "expected the same"),
    ],
)
def test_arrays_of_another_kind(digits: Path, changes: dict[str, np.ndarray], word: str):
    assert word in refuse(rewrite(digits, **changes))


def relabel(path: Path, train_labels: np.ndarray) -> Path:
    return rewrite(path, y_train=train_labels.astype(np.uint8))


@pytest.mark.parametrize("limit", [None, 4, 20])
def test_file_sorted_by_label_is_refused_with_the_classes_that_training_would_lack(
    digits: Path, limit: int | None
):
    relabel(digits, np.arange(200) // 50)
    with pytest.raises(DataError, match=r"the last 120 .* classes 2, 3; .* shuffle") as caught:
        load(digits, fraction=0.6, limit=limit)
    assert "data.validation_fraction: 0.6" in str(caught.value)
    assert len(load(digits, limit=limit).train) == min(limit or 200, 200)


def test_classes_without_a_validation_image_are_a_warning(digits: Path):
    relabel(digits, np.arange(200) // 50)
    data = load(digits, fraction=0.2, limit=20)
    assert [data.train.labels.max(), set(data.validation.labels.tolist())] == [3, {3}]  # pyright: ignore[reportOptionalMemberAccess]
    (warning,) = data.describe()["warnings"]  # pyright: ignore[reportGeneralTypeIssues]
    assert "no validation images of classes 0, 1, 2: data.validation_fraction: 0.2" in warning


def test_many_absent_classes_are_named_in_part(digits: Path):
    relabel(digits, np.arange(200) // 10)
    with pytest.raises(DataError, match=r"classes 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \.\.\.;"):
        load(digits, fraction=0.7)


@pytest.mark.parametrize("limit", [None, 4, 10])
def test_shuffled_file_has_no_warning(digits: Path, limit: int | None):
    assert load(digits, fraction=0.3, limit=limit).warnings == ()


def test_validation_that_would_leave_nothing_is_refused(digits: Path):
    with pytest.raises(DataError, match="empty split"):
        load(digits, fraction=0.999)
