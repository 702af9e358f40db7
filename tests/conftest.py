"""Small generated datasets and a way to run the scripts as a user does."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import quick_experiment
from PIL import Image

from epochlab.config import dump_config, load_config
from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.data.images import ImageData
from epochlab.files import format_json
from epochlab.history import Epoch
from epochlab.process import choose_kernels
from epochlab.runs import Run, create_run
from epochlab.script_files import shipped_config
from epochlab.session import ExperimentConfig
from epochlab.trained_model import load_trained_model

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
CONFIGS = ROOT / "configs"
EXPERIMENTS = sorted(path.stem for path in SCRIPTS.glob("*.py"))
MNIST_EXPERIMENTS = [
    name for name in EXPERIMENTS if "mnist" in name and not name.startswith("vgg16")
]

# In the tests' own process too; the scripts set these by themselves.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
choose_kernels()

# A test run in the background of a shell ignores Ctrl-C, and its children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def load_experiment(name: str, *overrides: str, config: Path | None = None) -> ExperimentConfig:
    """Returns what `scripts/NAME.py` gets from `config`, or its shipped YAML, and `overrides`."""
    path = SCRIPTS / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    schemas = [value for value in vars(script).values() if _is_own_schema(value, name)]
    return load_config(schemas[0], config or shipped_config(path), overrides).config


def _is_own_schema(value: object, module: str) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, ExperimentConfig)
        and value.__module__ == module
    )


def make_digits(path: Path, *, train: int = 200, test: int = 50, side: int = 12) -> Path:
    """Writes an `.npz` in MNIST's layout whose four classes are easily told apart.

    Class k is a bright quadrant number k on dim noise.
    """
    generator = np.random.default_rng(0)
    arrays = {}
    for name, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 4
        images = generator.integers(0, 60, (count, side, side), dtype=np.uint8)
        half = side // 2
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 150
        arrays |= {f"x_{name}": images, f"y_{name}": labels.astype(np.uint8)}
    np.savez(path, **arrays)
    return path


def make_photographs(root: Path, **counts: int) -> Path:
    """Writes JPEG files `root/SPLIT/CLASS/CLASS.N.jpg`: cats are striped across, dogs upright.

    Args:
        root: The folder to make.
        counts: Images per class of each split, as in `train=10`.
    """
    generator = np.random.default_rng(0)
    for split, count in counts.items():
        for name, axis in (("cat", 0), ("dog", 1)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 90, (80, 100, 3), np.uint8)
                stripes = np.arange(pixels.shape[axis]) // 10 % 2 == number % 2
                pixels[(slice(None),) * axis + (stripes,)] += 120
                Image.fromarray(pixels).save(folder / f"{name}.{number}.jpg")
    return root


def record_run(
    out: Path,
    *settings: str,
    experiment: str = "lenet_mnist",
    losses: Sequence[float] = (0.5, 0.3, 0.2),
    val_losses: Sequence[float] | None = (0.5, 0.4, 0.3),
    test_accuracy: float | None = 0.99,
    data: str = "d" * 64,
) -> Run:
    """Writes the records of a run that nobody trained, in the form that a script leaves them.

    Args:
        out: Folder of all experiments' runs.
        settings: What differs from the shipped YAML, as for `--set`.
        experiment: Name of the experiment.
        losses: Training loss of each epoch.
        val_losses: Validation loss of each epoch, or None for no validation.
        test_accuracy: None: the run is not finished.
        data: Fingerprint of the data.
    """
    config = load_experiment(experiment, *settings)
    environment = {
        "versions": {"keras": "3.15.1"},
        "git": {"commit": "c" * 40, "dirty": False},
        "started": "2026-01-01T00:00:00+00:00",
    }
    ended = "finished" if test_accuracy is not None else "KeyboardInterrupt: SIGINT"
    records = {
        "config.yaml": dump_config(config),
        "environment.json": format_json(environment),
        "data.json": format_json({"sha256": data}),
        "sessions.json": format_json({"sessions": [{"ended": ended}]}),
    }
    run = create_run(out, config.experiment, config.seed, records)
    watched = val_losses or [None] * len(losses)
    run.write_history(
        [
            Epoch(number, loss, 1 - loss / 2, watch, None if watch is None else 0.9, 0.001, 2.0)
            for number, (loss, watch) in enumerate(zip(losses, watched, strict=True), 1)
        ]
    )
    if test_accuracy is not None:
        run.write_json("metrics.json", {"test": {"loss": 0.05, "accuracy": test_accuracy}})
    return run


def assert_as_keras_loads_it(run: Run) -> None:
    """Compares what the opened model predicts with `keras.models.load_model`'s, to the bit."""
    import keras

    opened = load_trained_model(run)
    shape = (5, *opened.input_format.image_shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plain = keras.models.load_model(run.path / "model.h5", compile=False)
    plain.jit_compile = False
    np.testing.assert_array_equal(
        np.asarray(opened.keras_model.predict_on_batch(pixels)),
        np.asarray(plain.predict_on_batch(pixels)),
    )


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """An `.npz` of 200 + 50 images of 12 x 12 pixels in four classes."""
    return make_digits(tmp_path / "digits.npz")


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a process of its own, from a folder that is not the repository."""

    def run(name: str, *arguments: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return run


def add_quick_experiment(folder: Path) -> None:
    """Gives `folder` the experiment `quick`, which needs no TensorFlow: script and config."""
    (folder / "scripts").mkdir()
    (folder / "configs").mkdir()
    shutil.copy(quick_experiment.__file__, folder / "scripts" / "quick.py")
    (folder / "configs" / "quick.yaml").write_text(quick_experiment.CONFIG)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the experiment `quick`."""
    add_quick_experiment(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_folder(root: Path, **changes: object) -> ImageData:
    """Returns the images of a prepared folder as 8 x 8 pixels, with what `changes` says instead."""
    settings: dict[str, object] = {
        "path": str(root),
        "class_names": None,
        "limit": None,
        "skip_list": None,
        "image_size": (8, 8),
        "color_mode": "rgb",
        "interpolation": "bilinear",
        "aspect": "stretch",
        "on_bad": "error",
        "cache_limit": 1.0,
        "class_weight": None,
        "augment": None,
    }
    return load_directory(DirectoryConfig.model_validate(settings | changes))
