"""Where the time of a training step goes: by kernel, and by layer beside the machine's limit.

    python benchmarks/step_profile.py cats_dogs_baseline
    python benchmarks/step_profile.py mlp_mnist_relu training.threads=1

The network, its compilation, its batches and the steps of one call are those of a run; the pixels
are random. TensorFlow's profiler notes when each kernel begins and ends, waiting for a thread
included, so that the kernels of two threads can sum to more than the time that passes. GFLOP/s of a
layer count its multiplications and additions; the limit is that of `convolution_limit.py`, in the
run's precision.
"""

import argparse
import collections
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convolution_limit import measure_limit
from network_description import describe_layer
from timing import load_experiment

# The kernels that multiply, of convolutions and of dense layers.
PRODUCT = re.compile("Conv2D|MatMul")
WARM_UP_STEPS, MOST_ROWS = 50, 16


def build_network(network: str, settings: list[str]) -> tuple[Any, Any, Any]:
    """Returns the compiled model, its endless batches, and the config."""
    import numpy as np

    from epochlab.data.batches import training_batches
    from epochlab.data.images import ImageData, Split
    from epochlab.process import prepare_tensorflow
    from epochlab.training import choose_steps_per_execution, compile_classifier

    script, config = load_experiment(network, settings)
    prepare_tensorflow(config.training, config.seed)
    (build,) = (value for name, value in script.items() if name.startswith("build_"))
    is_mnist = "mnist" in network
    image_shape = (28, 28, 1) if is_mnist else (*config.data.image_size, 3)
    count, classes = (12_800, 10) if is_mnist else (400, 2)
    images = np.random.default_rng(0).integers(0, 256, (count, *image_shape), np.uint8)
    labels = (np.arange(count) % classes).astype(np.int32)
    split = Split(images, labels, tuple(map(str, range(count))))
    names = tuple(map(str, range(classes)))
    data = ImageData(split, None, split, names, source="random pixels", fingerprint="")
    model = build(config.model, image_shape, classes, config.seed)
    compile_classifier(model, data, config.training)
    batch_size = config.training.batch_size
    model.steps_per_execution = choose_steps_per_execution(
        count // batch_size, image_shape[0] * image_shape[1] * batch_size
    )
    return model, training_batches(split, batch_size=batch_size, seed=config.seed), config


def train(model: Any, batches: Any, steps: int) -> float:
    """Trains and returns the seconds of a step."""
    started = time.perf_counter()
    model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
    return (time.perf_counter() - started) / steps


def record_kernels(model: Any, batches: Any, steps: int) -> dict[tuple[str, str], float]:
    """Returns milliseconds per step by name and type of a kernel."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        train(model, batches, steps)
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    kernels: dict[tuple[str, str], float] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                described = plane.event_metadata[event.metadata_id].name
                name, colon, kind = described.rpartition(":")
                # A kernel is noted as NAME:TYPE; an iterator of tf.data as Iterator::TYPE.
                if colon and "::" not in described and kind.isidentifier():
                    kernels[name, kind] += event.duration_ps / 1e9 / steps
    return kernels


def print_kinds(kernels: dict[tuple[str, str], float], step: float) -> None:
    """Prints the kinds of kernels that take most."""
    kinds: dict[str, float] = collections.Counter()
    for (_, kind), milliseconds in kernels.items():
        kinds[kind] += milliseconds
    total = sum(kinds.values())
    print(f"\na step {step * 1000:.2f} ms, its kernels {total:.2f} ms together\n")
    print("| kernel | ms per step | of all kernels |\n| --- | --- | --- |")
    rows = sorted(kinds.items(), key=lambda item: -item[1])[:MOST_ROWS]
    for kind, milliseconds in rows:
        print(f"| {kind} | {milliseconds:.2f} | {milliseconds / total:.0%} |")


def find_layer(name: str, layers: Iterable[str]) -> str | None:
    """Returns the layer whose part of the graph a kernel's name says it is."""
    for layer in layers:
        if re.search(rf"(^|/){re.escape(layer)}(_\d+)?/", name):
            return layer
    return None


def print_layers(
    model: Any, kernels: dict[tuple[str, str], float], batch_size: int, limit: float
) -> None:
    """Prints what the convolutions and dense layers take, forward and backward."""
    operations = {
        layer.name: describe_layer(layer)["operations"] * batch_size
        for layer in model.layers
        if type(layer).__name__ in ("Conv2D", "Dense")
    }
    took: dict[str, dict[str, float]] = {name: collections.Counter() for name in operations}
    for (name, kind), milliseconds in kernels.items():
        layer = find_layer(name, operations)
        if layer is not None and PRODUCT.search(kind):
            backward = "gradient" in name or "Backprop" in kind
            took[layer]["backward" if backward else "forward"] += milliseconds
    print(f"\nlimit {limit:.0f} GFLOP/s\n")
    print("| layer | GFLOP forward | ms forward | of the limit | ms backward | of the limit |")
    print("| --- | --- | --- | --- | --- | --- |")
    for position, (layer, forward) in enumerate(operations.items()):
        cells = [f"{forward / 1e9:.2f}"]
        # Backward there are two products, for the first layer only the weights'.
        for way, work in (("forward", forward), ("backward", forward * (2 if position else 1))):
            milliseconds = took[layer][way]
            rate = work / milliseconds / 1e6 if milliseconds else 0.0
            cells += [f"{milliseconds:.2f}", f"{rate / limit:.0%}"]
        print(f"| {layer} | {' | '.join(cells)} |")


def main() -> None:
    """Prints a table of kernels and one of layers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    model, batches, config = build_network(arguments.network, arguments.settings)
    train(model, batches, WARM_UP_STEPS)
    step = min(train(model, batches, arguments.steps) for _ in range(5))
    kernels = record_kernels(model, batches, arguments.steps)
    limit = measure_limit(config.training.precision.removeprefix("mixed_"))
    print_kinds(kernels, step)
    print_layers(model, kernels, config.training.batch_size, limit)


if __name__ == "__main__":
    main()
