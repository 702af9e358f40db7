"""`precision: auto` becomes what the hardware computes well, once, and the run says so."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import SCRIPTS, load_experiment

from epochlab import precision
from epochlab.config import LoadedConfig, dump_config, load_config
from epochlab.environment import list_cpu_flags
from epochlab.precision import Bfloat16, examine_cpu, examine_gpu, find_bfloat16, settle_precision

X86 = ["sse2", "avx2", "avx512f"]
ARM = ["fp", "asimd", "sve"]


@pytest.mark.parametrize(
    ("flags", "is_native", "reason"),
    [
        ([*X86, "avx512_bf16"], True, "this CPU has AVX512_BF16"),
        ([*X86, "amx_bf16", "avx512_bf16"], True, "this CPU has AVX512_BF16 and AMX_BF16"),
        ([*X86, "amx_bf16"], True, "this CPU has AMX_BF16"),
        (X86, False, "this CPU has neither AVX512_BF16 nor AMX_BF16"),
        ([*ARM, "bf16"], True, "this CPU has BF16"),
        ([*ARM, "svebf16"], False, "this CPU has no BF16"),
        ([], None, "it cannot be told whether this CPU has bfloat16"),
    ],
)
def test_instruction_sets_tell_how_a_cpu_computes_bfloat16(flags, is_native, reason):
    assert examine_cpu(flags, has_onednn=True) == Bfloat16(is_native, reason)


def test_without_onednn_nothing_uses_the_instructions():
    found = examine_cpu([*X86, "avx512_bf16"], has_onednn=False)
    assert found == Bfloat16(False, "TF_ENABLE_ONEDNN_OPTS switches oneDNN off")


@pytest.mark.parametrize(
    ("details", "is_native", "reason"),
    [
        (
            {"device_name": "NVIDIA A100", "compute_capability": (8, 0)},
            True,
            "NVIDIA A100 has compute capability 8.0",
        ),
        (
            {"device_name": "Tesla T4", "compute_capability": (7, 5)},
            None,
            "Tesla T4 has compute capability 7.5, below 8.0",
        ),
        ({"device_name": "METAL"}, None, "it cannot be told whether METAL has bfloat16"),
    ],
)
def test_compute_capability_tells_how_a_gpu_computes_bfloat16(details, is_native, reason):
    assert examine_gpu(details) == Bfloat16(is_native, reason)


def test_what_trains_is_asked_gpus_before_the_cpu(monkeypatch: pytest.MonkeyPatch):
    import tensorflow as tf

    capabilities = {"first": (9, 0), "second": (7, 0)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(capabilities))
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"device_name": gpu, "compute_capability": capabilities[gpu]},
    )
    assert find_bfloat16("one").reason == "first has compute capability 9.0"
    assert find_bfloat16("all").reason == "second has compute capability 7.0, below 8.0"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert find_bfloat16("one") == examine_cpu(list_cpu_flags(), has_onednn=True)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not find_bfloat16("one").is_native


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Settles the precision of a transfer experiment on hardware that a test makes up."""

    def call(is_native: bool | None, training: str, features: str):
        found = Bfloat16(is_native, "so says the test")
        monkeypatch.setattr(precision, "find_bfloat16", lambda devices: found)
        settings = f"training.precision={training}", f"features.precision={features}"
        config = load_experiment("vgg16_mnist", *settings)
        origins = {"training.precision": "a.yaml:42", "features.precision": "a.yaml:24"}
        return settle_precision(LoadedConfig(config, origins))

    return call


@pytest.mark.parametrize(
    ("is_native", "resolved"), [(True, "mixed_bfloat16"), (False, "float32"), (None, "float32")]
)
def test_auto_becomes_what_the_hardware_computes_and_is_recorded(
    settle, capsys, tmp_path, is_native, resolved
):
    loaded, record = settle(is_native, "auto", "auto")
    assert (loaded.config.training.precision, loaded.config.features.precision) == (resolved,) * 2
    assert capsys.readouterr() == (f"precision: {resolved} (so says the test)\n", "")
    assert loaded.origins["features.precision"] == "a.yaml:24: auto, and so says the test"
    assert record == {
        "asked": "auto",
        "for": ["training.precision", "features.precision"],
        "resolved": resolved,
        "because": "so says the test",
    }
    (tmp_path / "config.yaml").write_text(dump_config(loaded.config))
    again = load_config(type(loaded.config), tmp_path / "config.yaml").config
    assert again == loaded.config


def test_each_section_has_its_own_precision(settle):
    loaded, record = settle(True, "float32", "auto")
    assert loaded.config.training.precision == "float32"
    assert loaded.config.features.precision == "mixed_bfloat16"
    assert record["for"] == ["features.precision"]


def test_auto_is_read_back_from_a_config():
    config = load_experiment("vgg16_mnist", "training.precision=auto")
    assert "precision: auto" in dump_config(config)


def test_emulated_bfloat16_is_warned_of_in_one_line(settle, capsys):
    loaded, record = settle(False, "mixed_bfloat16", "mixed_bfloat16")
    assert (loaded.config.training.precision, record) == ("mixed_bfloat16", None)
    assert capsys.readouterr() == (
        "",
        "warning: training.precision and features.precision: mixed_bfloat16 is emulated here, "
        "several times slower than float32: so says the test; give a new run float32 or auto\n",
    )


@pytest.mark.parametrize("is_native", [True, None])
def test_bfloat16_that_is_not_known_to_be_emulated_is_not_warned_of(settle, capsys, is_native):
    settle(is_native, "mixed_bfloat16", "float32")
    assert capsys.readouterr() == ("", "")


def test_float32_asks_nothing_of_the_hardware(settle, capsys, monkeypatch):
    def load(threads: int | None) -> None:
        raise AssertionError("TensorFlow is loaded")

    monkeypatch.setattr(precision, "load_tensorflow", load)
    assert settle(False, "float32", "float32")[1] is None
    assert capsys.readouterr() == ("", "")


# The script of a run on hardware that a test makes up.
PROGRAM = """
import runpy, sys
from epochlab import precision
found = precision.Bfloat16(sys.argv[1] == "native", "so says the test")
precision.find_bfloat16 = lambda devices: found
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_run_keeps_the_precision_that_it_began_with(digits, tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    script = str(SCRIPTS / "mlp_mnist_relu.py")
    settings = f"data.path={digits}", "training.epochs=1", "training.precision=auto"
    flags = [word for setting in settings for word in ("--set", setting)]
    begun = run("-c", PROGRAM, "native", script, *flags)
    assert begun.stdout.splitlines()[0] == "precision: mixed_bfloat16 (so says the test)"
    # TensorFlow's own word where the CPU has no AVX-512.
    words = [line for line in begun.stderr.splitlines() if "supports DT_BFLOAT16" not in line]
    assert words == []
    folder = tmp_path / begun.stdout.splitlines()[-1].removeprefix("run: ")
    assert "precision: mixed_bfloat16\n" in (folder / "config.yaml").read_text()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["precision"]["resolved"] == "mixed_bfloat16"

    resumed = run(
        "-c", PROGRAM, "none", script, "--resume", str(folder), "--set", "training.epochs=2"
    )
    assert "going on from the end of epoch 1" in resumed.stdout
    assert "precision: " not in resumed.stdout
    assert resumed.stderr.startswith("warning: training.precision: mixed_bfloat16 is emulated")
    assert "precision: mixed_bfloat16\n" in (folder / "config.yaml").read_text()

    reproduced = run("-m", "epochlab.cli", "reproduce", str(folder))
    assert reproduced.stdout.splitlines()[-1].startswith("identical: every epoch")


@pytest.mark.slow
def test_a_dry_run_shows_what_auto_becomes_here(run_script, digits):
    shown = run_script(
        "mlp_mnist_relu",
        *("--set", f"data.path={digits}", "--set", "training.precision=auto", "--dry-run"),
    )
    assert shown.returncode == 0, shown.stderr
    resolved, reason = shown.stdout.splitlines()[0].removeprefix("precision: ").split(" ", 1)
    assert resolved in ("float32", "mixed_bfloat16")
    row = next(line for line in shown.stdout.splitlines() if line.startswith("training.precision"))
    assert row.split()[1:] == [resolved, "--set:", "auto,", "and", *reason.strip("()").split()]
