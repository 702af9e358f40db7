"""A script in `mixed_bfloat16` on a CPU without bfloat16, at about the speed of float32.

For the accuracy of `mixed_bfloat16` where TensorFlow's own emulation takes too long. Operands and
results of convolutions and matrix products, their gradients too, are rounded to bfloat16 as they
would be; the products are summed in float32, which is what AVX512_BF16 does. All else is left as
it is. `check` sets a few steps of a small convnet beside TensorFlow's emulation and float32.

    python benchmarks/rounded_bfloat16.py scripts/cats_dogs_augmented.py --seed 1 \
        --set training.precision=mixed_bfloat16
    python benchmarks/rounded_bfloat16.py check
"""

import functools
import runpy
import sys
from collections.abc import Callable
from typing import Any

STEPS = 20


def round_as_bfloat16(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the operation of two tensors with bfloat16 ones computed in float32, then rounded."""
    import tensorflow as tf

    @functools.wraps(operation)
    def rounded(first: Any, second: Any, *arguments: Any, **options: Any) -> Any:
        if first.dtype != tf.bfloat16 or second.dtype != tf.bfloat16:
            return operation(first, second, *arguments, **options)
        wide = (tf.cast(first, tf.float32), tf.cast(second, tf.float32))
        return tf.cast(operation(*wide, *arguments, **options), tf.bfloat16)

    return rounded


def replace_operations() -> None:
    """Has Keras convolve and multiply bfloat16 in float32, in this process."""
    import tensorflow as tf

    tf.nn.convolution = round_as_bfloat16(tf.nn.convolution)
    tf.matmul = round_as_bfloat16(tf.matmul)


def train_briefly(precision: str) -> list[float]:
    """Returns the losses of a few steps on random images, one per step."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.layers.Conv2D(16, 3, activation="relu", dtype=precision),
            keras.layers.MaxPooling2D(dtype=precision),
            keras.layers.Conv2D(16, 3, activation="relu", dtype=precision),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu", dtype=precision),
            keras.layers.Dense(10, dtype="float32"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.05), loss)
    generator = np.random.default_rng(1)
    images = generator.random((32, 28, 28, 1), np.float32)
    labels = generator.integers(0, 10, 32)
    return [float(network.train_on_batch(images, labels)) for _ in range(STEPS)]


def check() -> None:
    """Prints the losses in float32, in TensorFlow's emulation of bfloat16 and in this one."""
    columns = [train_briefly("float32"), train_briefly("mixed_bfloat16")]
    replace_operations()
    columns.append(train_briefly("mixed_bfloat16"))
    print("step  float32  emulated  rounded")
    for step, losses in enumerate(zip(*columns, strict=True), start=1):
        print(f"{step:4}  {losses[0]:7.4f}  {losses[1]:8.4f}  {losses[2]:7.4f}")


def main() -> None:
    """Runs the script that is named, or the check."""
    if sys.argv[1:] == ["check"]:
        check()
        return
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    replace_operations()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
