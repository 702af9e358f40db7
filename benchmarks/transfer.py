"""Transfer learning: the frozen layers run once, beside running them each time.

    python benchmarks/transfer.py feature-pass FILE.h5 data/cats_dogs
    python benchmarks/transfer.py finetune FILE.h5 data/cats_dogs
    python benchmarks/transfer.py mnist FILE.h5

`feature-pass` compares computing and storing features with the bare backbone's `predict` on images
in memory, and with a second use of the stored ones. `finetune` compares an epoch of
`cats_dogs_vgg16_finetune`'s second phase, validation, checkpoint and records included, with and
without stored features. `mnist` runs the whole of `vgg16_mnist` from an empty cache, and beside it
the article's own flow (float64 images in memory, the whole network in every epoch) on a part of the
images, from which its whole is computed by images. Quote the ratios: the machine's speed drifts,
and the two sides of a round are close in time. FILE.h5 is a weights file of VGG16.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from timing import (
    load_experiment,
    measure_process,
    median_and_range,
    script_command,
    time_other,
    time_script,
)

TRAINING_IMAGES, VALIDATION_IMAGES, TEST_IMAGES, EPOCHS = 42_000, 18_000, 10_000, 10


def feature_pass(arguments: argparse.Namespace) -> None:
    """Prints images per second of the feature pass and of `predict`, and of a second use."""
    print("| precision | feature pass | bare predict | ratio | second use, times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for precision in ("float32", "mixed_bfloat16"):
        rounds = time_other(
            __file__, "one-feature-pass", arguments.weights, str(arguments.data), precision,
            str(arguments.rounds),
        )  # fmt: skip
        ours, bare, again = zip(*rounds, strict=True)
        ratios = [slow / fast for slow, fast in zip(bare, ours, strict=True)]
        gains = [slow / fast for slow, fast in zip(ours, again, strict=True)]
        print(
            f"| {precision} | {400 / statistics.median(ours):.1f} | "
            f"{400 / statistics.median(bare):.1f} | {median_and_range(ratios)} | "
            f"{median_and_range(gains, '.0f')} |",
            flush=True,
        )


def one_feature_pass(weights: str, data: str, precision: str, rounds: int) -> None:
    """Prints, per round, the seconds of feature pass, `predict` and second use of 400 images."""
    from dataclasses import replace

    import numpy as np

    from epochlab.data.directory import load_directory
    from epochlab.features import compute_features
    from epochlab.models.transfer import build_transfer_model
    from epochlab.process import prepare_tensorflow

    settings = [
        f"data.path={data}", f"model.weights={weights}", "data.limit=400",
        f"features.precision={precision}", f"training.precision={precision}",
    ]  # fmt: skip
    _, config = load_experiment("cats_dogs_vgg16_features", settings)
    prepare_tensorflow(config.training, config.seed)
    images = load_directory(config.data)
    model = build_transfer_model(config.model, images.image_shape, 2, config.seed)
    pixels = images.train.images[:]

    one_split = replace(images, validation=None, test=images.test.take(np.arange(1)))

    def compute() -> None:
        compute_features(
            model.extractor, one_split, config.features, identity="timed", augment=None, seed=1
        )

    seconds = []
    with tempfile.TemporaryDirectory() as warm_up:
        os.environ["EPOCHLAB_CACHE"] = warm_up
        compute()
        model.extractor.predict(pixels[:64], verbose=0)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as empty:
            os.environ["EPOCHLAB_CACHE"] = empty
            first = timed(compute)
            bare = timed(lambda: model.extractor.predict(pixels, verbose=0))
            seconds.append([first, bare, timed(compute)])
    print(json.dumps(seconds))


def timed(call: Callable[[], object]) -> float:
    """Returns the seconds that `call` takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def finetune(arguments: argparse.Namespace) -> None:
    """Prints the seconds of an epoch with and without stored features."""
    images = arguments.images
    phase = (
        "phases=[{trainable: {from: block5_conv1}, epochs: 3, schedule: constant, optimizer: "
        "{name: rmsprop, learning_rate: 1e-5, rho: 0.9, momentum: 0.0, epsilon: 1e-7}}]"
    )
    settings = [
        f"data.path={arguments.data}", f"model.weights={arguments.weights}", phase,
        f"data.limit={images}", f"training.steps_per_epoch={2 * images // 20}",
        f"training.precision={arguments.precision}", f"features.precision={arguments.precision}",
    ]  # fmt: skip
    stored, endless = [], []
    for _ in range(arguments.rounds):
        for seconds, variants in ((stored, "1"), (endless, "null")):
            epochs = time_script(
                "cats_dogs_vgg16_finetune", [*settings, f"features.variants={variants}"]
            )
            seconds.append(statistics.median(epochs))
            print(f"  variants {variants}: {seconds[-1]:.1f} s", flush=True)
    ratios = [slow / fast for slow, fast in zip(endless, stored, strict=True)]
    print(
        f"{arguments.precision}: an epoch of {2 * images} training and {images} validation images"
    )
    print(f"block4_pool stored {median_and_range(stored, '.1f')} s, without")
    print(f"{median_and_range(endless, '.1f')} s: {median_and_range(ratios)} times as fast")


def mnist(arguments: argparse.Namespace) -> None:
    """Prints the seconds and peak memory of both sides, and the ratio."""
    ratios = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            settings = [f"model.weights={arguments.weights}", *arguments.set]
            ours, our_peak = measure_process(
                script_command("vgg16_mnist", settings, folder),
                stdout=sys.stderr,
                env=os.environ | {"EPOCHLAB_CACHE": folder},
            )
        *article, peak = time_other(
            __file__, "article-mnist", arguments.weights, str(arguments.images)
        )
        ratios.append(sum(article) / ours)
        print(
            f"ours {ours:.0f} s, peak {our_peak:.2f} GB; article "
            f"{sum(article):.0f} s (prepare, train, watch, test: "
            f"{', '.join(f'{part:.0f}' for part in article)}), peak {peak:.2f} GB",
            flush=True,
        )
    print(f"whole experiment {median_and_range(ratios)} times as fast")


def article_mnist(weights: str, images: int) -> None:
    """Prints the seconds of the article's whole flow, part by part, and its peak memory in GB.

    All images are prepared, as the article does, so that their memory is what it is there, but
    training, validation and test are timed on the first `images` of them.
    """
    import keras
    from article_networks import DIGIT_SIZE, digits_on_vgg16, enlarge

    from epochlab.data.mnist import MnistConfig, load_mnist

    data = load_mnist(MnistConfig(path=None, limit=None, validation_fraction=0.3, augment=None))
    splits = [data.train, data.validation, data.test]
    started = time.perf_counter()
    train, validation, test = (enlarge(split.images[:][..., 0]) / 256 for split in splits)
    prepared = time.perf_counter() - started
    labels = [keras.utils.to_categorical(split.labels, 10) for split in splits]
    model = keras.Sequential([keras.Input((*DIGIT_SIZE, 3)), *digits_on_vgg16(weights)])
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    first = slice(0, images)
    model.fit(train[:256], labels[0][:256], batch_size=64, verbose=0)  # traces
    model.evaluate(validation[:256], labels[1][:256], batch_size=64, verbose=0)
    training = timed(lambda: model.fit(train[first], labels[0][first], batch_size=64, verbose=0))
    watching = timed(
        lambda: model.evaluate(validation[first], labels[1][first], batch_size=64, verbose=0)
    )
    del test
    print(
        json.dumps(
            [
                prepared,
                training / images * TRAINING_IMAGES * EPOCHS,
                watching / images * VALIDATION_IMAGES * EPOCHS,
                watching / images * TEST_IMAGES,
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            ]
        )
    )


def main() -> None:
    """Runs the part that is asked for."""
    if len(sys.argv) > 1 and sys.argv[1] == "one-feature-pass":
        one_feature_pass(*sys.argv[2:5], rounds=int(sys.argv[5]))
        return
    if len(sys.argv) > 1 and sys.argv[1] == "article-mnist":
        article_mnist(sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True, metavar="PART")
    for name, part, images in (
        ("feature-pass", feature_pass, 0),
        ("finetune", finetune, 300),
        ("mnist", mnist, 3200),
    ):
        arguments = parts.add_parser(name, help=part.__doc__.splitlines()[0])
        arguments.add_argument("weights", metavar="FILE.h5", type=os.path.abspath)
        if name != "mnist":
            arguments.add_argument("data", type=os.path.abspath, metavar="DATA")
        if name == "finetune":
            arguments.add_argument("--precision", default="float32")
        if name == "mnist":
            arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
        if images:
            arguments.add_argument("--images", type=int, default=images)
        arguments.add_argument("--rounds", type=int, default=3)
        arguments.set_defaults(part=part)
    chosen = parser.parse_args()
    chosen.part(chosen)


if __name__ == "__main__":
    main()
