"""The epochs of an article's training, timed; `throughput.py` starts it.

python benchmarks/article_epochs.py NETWORK BATCH_SIZE EPOCHS IMAGES [PHOTOGRAPHS]
"""

import json
import resource
import sys
from pathlib import Path

import keras
import numpy as np
from article_networks import MNIST, build_for_photographs
from articles import SHIPPED_MNIST, fit_photographs
from timing import epoch_clock


def fit_mnist(network: str, batch_size: int, epochs: int, images: int, clock) -> None:
    """Trains on float64 arrays and one-hot labels; LeNet channels first, as its article does."""
    build, divisor, optimizer = MNIST[network]
    if network == "lenet_mnist":
        keras.config.set_image_data_format("channels_first")
    axis = 1 if network == "lenet_mnist" else -1
    with np.load(SHIPPED_MNIST) as file:
        x_train = np.expand_dims(file["x_train"][:images], axis) / divisor
        y_train = keras.utils.to_categorical(file["y_train"][:images], 10)
    model = keras.Sequential([keras.Input(x_train.shape[1:]), *build()])
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, callbacks=[clock], verbose=0)


def main() -> None:
    """Prints the seconds of each epoch but the first, and the peak memory in GB."""
    network, *numbers = sys.argv[1:5]
    batch_size, epochs, images = map(int, numbers)
    seconds: list[float] = []
    clock = epoch_clock(seconds)
    if network in MNIST:
        fit_mnist(network, batch_size, epochs, images, clock)
    else:
        fit_photographs(
            build_for_photographs(network, None),
            Path(sys.argv[5]),
            epochs=epochs,
            batch_size=batch_size,
            steps=None,
            augment={},
            callbacks=[clock],
            verbose=0,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds[1:], "peak_gb": peak}))


if __name__ == "__main__":
    main()
