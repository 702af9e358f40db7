"""Which kernels TensorFlow computes with is chosen before it is loaded."""

import os

import pytest

from epochlab import environment
from epochlab.process import choose_kernels

SWITCH = "TF_ENABLE_ONEDNN_OPTS"


@pytest.mark.parametrize(
    ("flags", "given", "expected"),
    [
        ("fma avx2", None, "1"),
        ("fma avx2", "0", "0"),
        ("fma avx2 avx512f avx512_vnni", None, None),
        ("fma avx2 avx_vnni", None, None),
        ("sse4_2 avx", None, None),
        ("asimd bf16", None, None),
        ("", None, None),
    ],
)
def test_onednn_is_used_where_tensorflow_would_not_by_itself(flags, given, expected, monkeypatch):
    monkeypatch.setattr(environment, "list_cpu_flags", flags.split)
    monkeypatch.setenv(SWITCH, given or "")  # so that what was there before comes back
    if given is None:
        del os.environ[SWITCH]
    choose_kernels()
    assert os.environ.get(SWITCH) == expected
