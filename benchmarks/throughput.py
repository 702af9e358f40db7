"""Training throughput of Epochlab beside plain Keras `fit` on float32 arrays of the same network.

Each round runs the experiment's own script in a process of its own, checkpoints and records
included, and then the same network, batch size, optimizer and validation with plain `fit`. The
first epoch of each process, which traces and compiles, is left out. Quote the ratio: the machine's
speed drifts, and the two halves of a round are close in time.

    python benchmarks/throughput.py --rounds 5 lenet_mnist mlp_mnist_relu
"""

import argparse
import json
import statistics

from timing import epoch_clock, load_experiment, median_and_range, time_other, time_script

NETWORKS = ("lenet_mnist", "convnet_mnist", "mlp_mnist_relu", "convnet_deep_head_mnist")


def time_epochlab(network: str, images: int, epochs: int, overrides: list[str]) -> list[float]:
    """Returns the seconds of each epoch but the first."""
    settings = (f"data.limit={images}", f"training.epochs={epochs}", *overrides)
    return time_script(network, settings)


def run_plain(network: str, images: int, epochs: int) -> None:
    """Trains as a tutorial does, on float32 arrays, and prints the seconds of each epoch."""
    import numpy as np

    from epochlab.data.mnist import load_mnist
    from epochlab.models.layers import SCALINGS
    from epochlab.optimizers import build_optimizer

    script, config = load_experiment(network, [f"data.limit={images}"])
    (build,) = (value for name, value in script.items() if name.startswith("build_"))
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
    seconds: list[float] = []

    model.fit(
        *scaled(data.train),
        batch_size=config.training.batch_size,
        epochs=epochs,
        validation_data=data.validation and scaled(data.validation),
        callbacks=[epoch_clock(seconds)],
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
            plain = time_other(
                __file__, "--plain", network, str(arguments.images), str(arguments.epochs)
            )
            rates.append(
                (
                    arguments.images / statistics.median(ours),
                    arguments.images / statistics.median(plain),
                )
            )
        columns = [f"{statistics.median(side):,.0f}" for side in zip(*rates, strict=True)]
        ratios = [ours / plain for ours, plain in rates]
        spread = median_and_range(ratios)
        print(f"| `{network}` | {' | '.join(columns)} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
