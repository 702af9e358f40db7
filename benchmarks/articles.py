"""The articles' own experiments in plain Keras, as tutorials write them, without Epochlab.

    python benchmarks/articles.py lenet_mnist --epochs 20 --batch-size 128 --validation 0.2
    python benchmarks/articles.py cats_dogs_baseline --epochs 30 --batch-size 20 --steps 100

MNIST: all pixels divided as one float64 array, one-hot labels and categorical cross-entropy, `fit`
with Keras's defaults and `validation_split`. Photographs: `ImageDataGenerator.flow_from_directory`
into `fit`; with `--extract` VGG16 runs once over each split, and a head is trained on what it
found. Then, in all, `evaluate` on the test images, two curves and `model.save`. Optimizers and
learning rates are the articles'. Only two things are not: MNIST comes from a file that is there
already instead of `mnist.load_data()`, and `result.json` tells a benchmark what was done.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from article_networks import (
    IMAGE_SIZE,
    MNIST,
    ON_VGG16,
    build_for_photographs,
    compile_for_photographs,
    enlarge,
    head,
    unfreeze,
    vgg16,
)

SHIPPED_MNIST = Path(__file__).parents[1] / "src" / "epochlab" / "data" / "mnist.npz"
PHOTOGRAPHS = ("cats_dogs_baseline", "cats_dogs_augmented", *ON_VGG16)


def run_mnist(arguments: argparse.Namespace) -> None:
    """Trains and scores one of the networks for digits."""
    build, divisor, optimizer = MNIST[arguments.experiment]
    keras.config.set_image_data_format(arguments.data_format)
    axis = 1 if arguments.data_format == "channels_first" else -1
    with np.load(arguments.data or SHIPPED_MNIST) as file:
        arrays = {name: file[name][: arguments.limit] for name in file.files}

    is_on_vgg16 = arguments.experiment == "vgg16_mnist"
    x_train, x_test = (
        (enlarge(pixels) if is_on_vgg16 else np.expand_dims(pixels, axis)) / divisor
        for pixels in (arrays["x_train"], arrays["x_test"])
    )
    y_train, y_test = (
        keras.utils.to_categorical(arrays[name], 10) for name in ("y_train", "y_test")
    )
    layers = build(arguments.weights) if is_on_vgg16 else build()
    model = keras.Sequential([keras.Input(x_train.shape[1:]), *layers])
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    history = model.fit(
        x_train,
        y_train,
        batch_size=arguments.batch_size,
        epochs=sum(arguments.epochs),
        validation_split=arguments.validation,
    )
    finish(model, history.history, model.evaluate(x_test, y_test), arguments.out)


def flow(folder: Path, batch_size: int, **augment: Any) -> Any:
    """Returns the images of a split, 0..1, batch by batch, decoded anew each time."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(rescale=1.0 / 255, **augment).flow_from_directory(
        folder, target_size=IMAGE_SIZE, batch_size=batch_size, class_mode="binary"
    )


def fit_photographs(
    model: keras.Model,
    data: Path,
    *,
    epochs: int,
    batch_size: int,
    steps: int | None,
    augment: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = "auto",
) -> dict[str, list[float]]:
    """Trains on a folder of photographs and returns the history.

    Args:
        model: From `build_for_photographs`.
        data: Has the folders `train` and `validation`.
        epochs: How many.
        batch_size: Images of a batch.
        steps: Batches of an epoch, or None for one pass.
        augment: What the generator of the training images takes.
        callbacks: For `fit`.
        verbose: For `fit`.
    """
    train = flow(data / "train", batch_size, **augment)
    batches = train
    if steps is not None and steps > len(train):
        # Keras 3 ends an epoch at the end of the pass; the articles' `fit_generator` went on.
        batches = without_end(train)
    history = model.fit(
        batches,
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=flow(data / "validation", batch_size),
        callbacks=list(callbacks),
        verbose=verbose,
    )
    return history.history


def without_end(batches: Any) -> Iterator[Any]:
    """Yields batch after batch, pass after pass."""
    while True:
        yield next(batches)


def run_photographs(arguments: argparse.Namespace) -> None:
    """Trains and scores one of the networks for photographs."""
    model = build_for_photographs(arguments.experiment, arguments.weights)
    data = arguments.data or Path("data/cats_dogs")
    history: dict[str, list[float]] = {}
    steps = 0
    for number, epochs in enumerate(arguments.epochs):
        if number == 1:
            unfreeze(model)
        found = fit_photographs(
            model,
            data,
            epochs=epochs,
            batch_size=arguments.batch_size,
            steps=arguments.steps,
            augment=arguments.augment,
        )
        history = {name: history.get(name, []) + values for name, values in found.items()}
        steps += int(model.optimizer.iterations)
    scores = model.evaluate(flow(data / "test", arguments.batch_size))
    finish(model, history, scores, arguments.out, steps=steps)


def run_extracted(arguments: argparse.Namespace) -> None:
    """Runs VGG16 once over each split, then trains and scores a head on its features."""
    dropout, rate = ON_VGG16[arguments.experiment]
    base, size = vgg16(arguments.weights), arguments.batch_size
    data = arguments.data or Path("data/cats_dogs")
    train, validation, test = (
        extract(base, flow(data / split, size)) for split in ("train", "validation", "test")
    )
    model = keras.Sequential([keras.Input(train[0].shape[1:]), *head(dropout)])
    compile_for_photographs(model, rate)
    (epochs,) = arguments.epochs
    history = model.fit(*train, batch_size=size, epochs=epochs, validation_data=validation)
    scores = model.evaluate(*test)
    finish(model, history.history, scores, arguments.out, frozen=base.count_params())


def extract(base: keras.Model, batches: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features and labels of one pass over a split."""
    features = np.zeros((batches.samples, *base.output_shape[1:]))
    labels = np.zeros(batches.samples)
    done = 0
    for images, batch_labels in (next(batches) for _ in range(len(batches))):
        features[done : done + len(images)] = base.predict(images, verbose=0)
        labels[done : done + len(images)] = batch_labels
        done += len(images)
    return features, labels


def finish(
    model: keras.Model,
    history: dict[str, list[float]],
    scores: list[float],
    out: Path,
    *,
    steps: int | None = None,
    frozen: int = 0,
) -> None:
    """Draws the curves, saves the model, and leaves what a benchmark checks.

    Args:
        model: Trained.
        history: Values per epoch.
        scores: Test loss and accuracy.
        out: The folder that takes it.
        steps: How many were trained, if not what the optimizer counted.
        frozen: Parameters of layers that are not in the model.
    """
    import matplotlib.pyplot as plt

    epochs = range(1, len(history["loss"]) + 1)
    for name in ("accuracy", "loss"):
        plt.figure()
        for label, key in (("training", name), ("validation", f"val_{name}")):
            if key in history:
                plt.plot(epochs, history[key], label=label)
        plt.title(name)
        plt.legend()
        plt.savefig(out / f"{name}.png")
    model.save(out / "x.h5")
    result = {
        "accuracy": scores[1],
        "parameters": model.count_params() + frozen,
        "steps": int(model.optimizer.iterations) if steps is None else steps,
    }
    (out / "result.json").write_text(json.dumps(result))


def main() -> None:
    """Runs an experiment from its data to its curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("experiment", choices=[*MNIST, *PHOTOGRAPHS])
    parser.add_argument(
        "--epochs", type=int, nargs="+", required=True, help="a second number: of fine-tuning"
    )
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--steps", type=int, help="of an epoch; default: one pass (photographs)")
    parser.add_argument("--validation", type=float, default=0.0, help="share, 0..1 (MNIST)")
    parser.add_argument("--limit", type=int, help="only the first images of each array (MNIST)")
    parser.add_argument("--data-format", default="channels_last", help="or channels_first (MNIST)")
    parser.add_argument("--augment", type=json.loads, default={}, help="as JSON (photographs)")
    parser.add_argument("--weights", help="of VGG16, where the experiment has one")
    parser.add_argument("--precision", default="float32", help="or mixed_bfloat16")
    parser.add_argument("--extract", action="store_true", help="VGG16 runs once (photographs)")
    parser.add_argument("--data", type=Path, help="an .npz file (MNIST), or a prepared folder")
    parser.add_argument("--out", type=Path, default=Path(), help="takes curves and model")
    arguments = parser.parse_args()
    if arguments.extract and arguments.experiment not in ON_VGG16:
        parser.error(f"--extract: expected one of {', '.join(ON_VGG16)}")
    keras.config.set_dtype_policy(arguments.precision)
    if arguments.experiment in MNIST:
        run_mnist(arguments)
    else:
        (run_extracted if arguments.extract else run_photographs)(arguments)


if __name__ == "__main__":
    main()
