"""Files on which HDF5 itself hangs, or takes memory for nothing: found by `benchmarks/fuzz.py`."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from epochlab.errors import RunError
from epochlab.models import hdf5_trial
from epochlab.models.weights_file import open_weights_file

# HDF5 keeps texts of variable length in such a collection: 16 bytes of its own, then of each text
# number, 6 bytes, length, 8 bytes, and the text up to the next multiple of 8.
COLLECTION = b"GCOL"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as opened:
        variables = opened.create_group("layers/dense/vars")
        variables.attrs["name"] = "dense"
        variables["0"] = np.ones((100, 3), np.float32)
        variables["1"] = np.float32(1)
    return path


def damage(path: Path, place: slice, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(COLLECTION)
    content[start + place.start : start + place.stop] = value
    path.write_bytes(content)


def test_a_good_file_has_no_fault(weights: Path):
    assert hdf5_trial.find_fault(weights) is None


def test_a_file_that_hdf5_never_finishes_is_refused(weights: Path):
    # A free piece, number 0, of length 0: HDF5 goes on by nothing at a time.
    damage(weights, slice(16, 32), bytes(16))
    message = r"model\.weights\.h5: .*HDF5 does not come to its end"
    with pytest.raises(RunError, match=message), open_weights_file(weights):
        pass


def test_a_text_that_says_it_has_gigabytes_is_refused_without_them(weights: Path):
    content = weights.read_bytes()
    length = len("dense").to_bytes(4, "little")
    # Of the attribute: length, the collection's place, the text's number in it.
    address = content.index(COLLECTION).to_bytes(8, "little")
    assert content.count(length + address) == 1
    huge = (3 * 2**30).to_bytes(4, "little")
    weights.write_bytes(content.replace(length + address, huge + address))
    fault = hdf5_trial.find_fault(weights)
    assert fault is not None and "memory allocation failed" in fault


def test_what_kills_the_reader_is_said(weights: Path, monkeypatch: pytest.MonkeyPatch):
    script = weights.with_name("reader.py")
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(hdf5_trial, "__file__", str(script))
    fault = hdf5_trial.find_fault(weights)
    assert fault == "HDF5 died of it, with -11"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process takes")
def test_an_array_beyond_the_files_size_is_not_read(weights: Path):
    with h5py.File(weights, "a") as opened:
        opened.create_dataset("huge", (2**31,), "f4", chunks=(2**20,), fillvalue=1.0)
    assert hdf5_trial.find_fault(weights) is None
