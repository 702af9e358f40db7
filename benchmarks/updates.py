"""Training steps with the optimizer's update in one kernel, beside Keras's own update.

    python benchmarks/updates.py lenet_mnist mlp_mnist_relu --rounds 40

Two copies of a network in one process take the same 20 steps in turn, on generated digits. Printed
are the ratios of seconds and of processor time, Keras's own to the fused one, median and range:
above 1 the fused one is faster. A machine that is shared stalls either side now and then; look at
the processor time first.
"""

import argparse
import time

from timing import load_experiment, median_and_range

STEPS = 20


def make_side(network: str, *, fused: bool):
    """Returns a function that trains `STEPS` steps."""
    import numpy as np
    import tensorflow as tf

    import epochlab.training
    from epochlab.data.images import ImageData, Split
    from epochlab.fused_updates import fuse_updates

    script, config = load_experiment(network, [])
    (build,) = (value for name, value in script.items() if name.startswith("build_"))
    model = build(config.model, (28, 28, 1), 10, config.seed)
    count = config.training.batch_size * STEPS
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)
    labels = np.arange(count, dtype=np.int32) % 10
    split = Split(images, labels, tuple(map(str, range(count))))
    data = ImageData(split, None, split, tuple("0123456789"), "generated digits", "")
    epochlab.training.fuse_updates = fuse_updates if fused else lambda optimizer: None
    epochlab.training.compile_classifier(model, data, config.training)
    batches = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = batches.batch(config.training.batch_size).repeat().prefetch(2)
    model.steps_per_execution = STEPS

    def train() -> tuple[float, float]:
        started, cpu = time.perf_counter(), time.process_time()
        model.fit(batches, steps_per_epoch=STEPS, verbose=0, shuffle=False)
        return time.perf_counter() - started, time.process_time() - cpu

    return train


def main() -> None:
    """Prints one table row per network."""
    from epochlab.environment import count_cpus
    from epochlab.process import prepare_tensorflow

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help="one of MNIST's")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    _, config = load_experiment(arguments.networks[0], [])
    settings = config.training.model_copy(update={"threads": count_cpus()})
    prepare_tensorflow(settings, config.seed)
    print("| network | seconds, ratio | processor time, ratio |")
    print("| --- | --- | --- |")
    for network in arguments.networks:
        fused, plain = (make_side(network, fused=which) for which in (True, False))
        fused(), plain()
        rounds = []
        for number in range(arguments.rounds):
            if number % 2:
                ours, theirs = fused(), plain()
            else:
                theirs, ours = plain(), fused()
            rounds.append([their / our for their, our in zip(theirs, ours, strict=True)])
        cells = [median_and_range(ratios) for ratios in zip(*rounds, strict=True)]
        print(f"| `{network}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
