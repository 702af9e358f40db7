"""Training throughput of Epochlab beside plain Keras `fit` on float32 arrays of the same network.

Each round runs the experiment's own script in a process of its own, checkpoints and records
included, and then the same network, batch size, optimizer and validation with plain `fit`. The
first epoch of each process, which traces and compiles, is left out. Quote the ratio: the machine's
speed drifts, and the two halves of a round are close in time.

    python benchmarks/throughput.py --rounds 5 lenet_mnist mlp_mnist_relu
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
NETWORKS = ("lenet_mnist", "convnet_mnist", "mlp_mnist_relu", "convnet_deep_head_mnist")


def time_epochlab(network: str, images: int, epochs: int, overrides: list[str]) -> list[float]:
    """Returns the seconds of each epoch but the first, as the run's `history.csv` has them."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(ROOT / "scripts" / f"{network}.py"), "--out", out]
        settings = [f"data.limit={images}", f"training.epochs={epochs}", *overrides]
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True, capture_output=True)
        (history,) = Path(out).glob("*/*/history.csv")
        with history.open() as rows:
            return [float(row["seconds"]) for row in csv.DictReader(rows)][1:]


def time_plain(network: str, images: int, epochs: int) -> list[float]:
    """Returns the same for plain Keras, run in a process of its own."""
    command = [sys.executable, __file__, "--plain", network, str(images), str(epochs)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def run_plain(network: str, images: int, epochs: int) -> None:
    """Trains as a tutorial does, on float32 arrays, and prints the seconds of each epoch."""
    import runpy

    import keras
    import numpy as np

    from epochlab.config import load_config
    from epochlab.data.mnist import load_mnist
    from epochlab.models.layers import SCALINGS
    from epochlab.optimizers import build_optimizer
    from epochlab.session import ExperimentConfig

    script = runpy.run_path(str(ROOT / "scripts" / f"{network}.py"))
    (schema,) = (
        value
        for value in script.values()
        if isinstance(value, type)
        and issubclass(value, ExperimentConfig)
        and value is not ExperimentConfig
    )
    (build,) = (value for name, value in script.items() if name.startswith("build_"))
    overrides = [f"data.limit={images}"]
    config = load_config(schema, ROOT / "configs" / f"{network}.yaml", overrides).config
    data = load_mnist(config.data)
    scale, offset = SCALINGS[config.model.scaling]

    def scaled(split):
        return split.images.astype(np.float32) * scale + offset, split.labels

    raw = config.model.model_copy(update={"scaling": "raw"})
    model = build(raw, data.image_shape, data.num_classes, config.seed)
    model.compile(
        build_optimizer(config.training.optimizer),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.started)

    model.fit(
        *scaled(data.train),
        batch_size=config.training.batch_size,
        epochs=epochs,
        validation_data=data.validation and scaled(data.validation),
        callbacks=[Clock()],
        verbose=0,
    )
    print(json.dumps(seconds[1:]))


def main() -> None:
    """Prints one table row per network: images per second, both medians and spreads, the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all four")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=4, help="per process, the first not counted")
    parser.add_argument("--set", action="append", default=[], help="for Epochlab's side only")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        network, images, epochs = arguments.plain
        run_plain(network, int(images), int(epochs))
        return
    print("| network | Epochlab, images/s | plain Keras, images/s | ratio, median (range) |")
    print("| --- | --- | --- | --- |")
    for network in arguments.networks or NETWORKS:
        rates: list[tuple[float, float]] = []
        for _ in range(arguments.rounds):
            ours = time_epochlab(network, arguments.images, arguments.epochs, arguments.set)
            plain = time_plain(network, arguments.images, arguments.epochs)
            rates.append(
                (
                    arguments.images / statistics.median(ours),
                    arguments.images / statistics.median(plain),
                )
            )
        columns = [f"{statistics.median(side):,.0f}" for side in zip(*rates, strict=True)]
        ratios = [ours / plain for ours, plain in rates]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| `{network}` | {' | '.join(columns)} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
