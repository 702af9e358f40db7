"""`.npz` files that are not trusted: bombs, lies about sizes, objects, damage."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from epochlab import array_archive
from epochlab.array_archive import ArchiveFault, read_arrays

PLENTY = 2**30


def write(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def array_bytes(shape: tuple[int, ...], dtype: str = "|u1", content: bytes = b"") -> bytes:
    """An `.npy` file that declares what it need not hold."""
    opened = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(opened, header)
    return opened.getvalue() + content


def refuse(path: Path, *names: str, maximum_bytes: int = PLENTY) -> str:
    with pytest.raises(ArchiveFault) as caught:
        read_arrays(path, names or None, maximum_bytes=maximum_bytes)
    return str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(save, tmp_path: Path):
    arrays = {
        "a": np.arange(6, dtype=">i2").reshape(2, 3),
        "b": np.float32(2),
        "c": np.asfortranarray(np.eye(3)),
        "d": np.zeros((0, 4)),
    }
    save(tmp_path / "a.npz", **arrays)
    read = read_arrays(tmp_path / "a.npz", maximum_bytes=PLENTY)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_what_is_not_asked_for_is_left_alone(tmp_path: Path):
    path = write(tmp_path / "a.npz", good=array_bytes((1,), content=b"x"), other=b"text")
    assert list(read_arrays(path, ("good",), maximum_bytes=PLENTY)) == ["good"]
    assert "cannot be read" in refuse(path)


@pytest.mark.parametrize("shape", [(10**13,), (2**40, 2**40), (5,), (-1,), (3, -1)])
def test_header_that_declares_what_is_not_there_costs_no_memory(shape, tmp_path: Path):
    path = write(tmp_path / "a.npz", a=array_bytes(shape, content=b"1234"))
    tracemalloc.start()
    message = refuse(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "declares uint8" in message
    assert peak < 2**20


def test_bomb_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(array_archive, "HARMLESS_BYTES", 2**20)
    size = 3 * 2**20
    path = write(tmp_path / "a.npz", a=array_bytes((size,), content=bytes(size)))
    assert path.stat().st_size < 2**14
    tracemalloc.start()
    assert "when it is unpacked" in refuse(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_more_than_the_caller_has_room_for_is_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=np.ones(100), b=np.ones(100))
    assert "declares 1,600 bytes, over 1,599" in refuse(tmp_path / "a.npz", maximum_bytes=1_599)


def test_objects_are_refused_by_their_header(tmp_path: Path):
    path = write(tmp_path / "a.npz", a=array_bytes((1,), "|O", b"cos\nsystem\n"))
    assert "holds Python objects" in refuse(path)


def test_other_compression_encryption_and_names_twice_are_answered(tmp_path: Path):
    path = write(tmp_path / "a.npz", a=array_bytes((1,), content=b"x"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x08\0", b"\x63\0"))
    assert "cannot be read" in refuse(path)
    flags = content.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0")
    path.write_bytes(flags.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"))
    assert "encrypted" in refuse(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a.npy", b"2")
    assert "twice" in refuse(path)


def test_missing_arrays_and_what_is_no_archive_are_named(tmp_path: Path):
    path = write(tmp_path / "a.npz", a=b"")
    assert refuse(path, "b", "c") == "lacks b, c, has a"
    path.write_bytes(b"text")
    assert "cannot be read" in refuse(path)
    assert "is no regular file" in refuse(tmp_path)
    assert "cannot be read" in refuse(tmp_path / "none.npz")
