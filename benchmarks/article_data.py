"""Runs `articles.py` so that it does as much as an experiment's config asks for."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from timing import ROOT, measure_process

from epochlab.data.directory import DirectoryConfig
from epochlab.data.listing import list_images
from epochlab.data.mnist import MnistConfig, load_mnist

Figures = dict[str, Any]


def measure_article(experiment: str, options: Sequence[str]) -> Figures:
    """Runs the article's script and returns what it took and what came out."""
    script = str(ROOT / "benchmarks" / "articles.py")
    with tempfile.TemporaryDirectory() as out:
        seconds, gigabytes = measure_process(
            [sys.executable, script, experiment, *options, "--out", out],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        result = json.loads((Path(out) / "result.json").read_text())
    return {"seconds": seconds, "gigabytes": gigabytes, **result}


def list_epochs(config: Any) -> list[int]:
    """Returns the epochs of each phase."""
    phases = getattr(config, "phases", None)
    return [phase.epochs for phase in phases] if phases else [config.training.epochs]


def article_options(config: Any, folder: Path, epochs: Sequence[int] = ()) -> list[str]:
    """Returns the options for the article's side of an experiment.

    Args:
        config: The whole config of Epochlab's side.
        folder: If that is limited to a part of the images, takes the same ones.
        epochs: Of each phase, if not the config's.
    """
    epochs = epochs or list_epochs(config)
    options = ["--epochs", *map(str, epochs), "--batch-size", str(config.training.batch_size)]
    if hasattr(config, "phases"):
        options += ["--weights", config.model.weights]
    if isinstance(config.data, MnistConfig):
        return options + _mnist_options(config.data, folder)
    if config.training.steps_per_epoch is not None:
        options += ["--steps", str(config.training.steps_per_epoch)]
    if config.data.augment is not None:
        options += ["--augment", config.data.augment.model_dump_json()]
    return [*options, "--data", str(_photographs(config.data, folder))]


def count_steps(config: Any, training_images: int) -> int:
    """Returns the batches of an epoch."""
    return config.training.steps_per_epoch or -(-training_images // config.training.batch_size)


def _mnist_options(data: MnistConfig, folder: Path) -> list[str]:
    if data.limit is None:
        file, share = data.path, data.validation_fraction
    else:
        limited, file = load_mnist(data), str(folder / "part.npz")
        learned = [limited.train] + ([limited.validation] if limited.validation else [])
        arrays: dict[str, Any] = {
            "x_train": np.concatenate([split.images[:][..., 0] for split in learned]),
            "y_train": np.concatenate([split.labels for split in learned]),
            "x_test": limited.test.images[:][..., 0],
            "y_test": limited.test.labels,
        }
        np.savez_compressed(file, **arrays)
        count = len(arrays["x_train"])
        # Keras rounds the number of training images down: half an image keeps it from one less.
        share = max(0.0, (count - len(limited.train) - 0.5) / count)
    return ["--validation", str(share), *(["--data", file] if file else [])]


def _photographs(data: DirectoryConfig, folder: Path) -> Path:
    root = Path(data.path).absolute()
    if data.limit is None:
        return root
    for path in list_images(root, data.class_names).limited(data.limit).paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(root / path)
    return folder
