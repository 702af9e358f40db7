"""Training steps with a fused kernel, beside the operations that Keras writes for the same.

    python benchmarks/fused_kernels.py updates lenet_mnist mlp_mnist_relu --rounds 40
    python benchmarks/fused_kernels.py normalization mnist_recipe cats_dogs_recipe --rounds 10

Two copies of a network in one process take the same 20 steps in turn, on random pixels. Printed
are the ratios of seconds and of processor time, Keras's own to the fused one, median and range:
above 1 the fused one is faster. A machine that is shared stalls either side now and then; look at
the processor time first.
"""

import argparse
import time

from step_profile import build_network
from timing import median_and_range

STEPS = 20
# What `compile_classifier` calls for each.
FUSES = {"updates": "fuse_updates", "normalization": "fuse_normalization"}


def make_side(part: str, network: str, settings: list[str], *, fused: bool):
    """Returns a function that trains `STEPS` steps."""
    import epochlab.training

    function = getattr(epochlab.training, FUSES[part])
    if not fused:
        setattr(epochlab.training, FUSES[part], lambda what: None)
    try:
        model, batches, _ = build_network(network, settings)
    finally:
        setattr(epochlab.training, FUSES[part], function)
    model.steps_per_execution = STEPS

    def train() -> tuple[float, float]:
        started, cpu = time.perf_counter(), time.process_time()
        model.fit(batches, steps_per_epoch=STEPS, verbose=0, shuffle=False)
        return time.perf_counter() - started, time.process_time() - cpu

    return train


def main() -> None:
    """Prints one table row per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=FUSES, help="what is fused")
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the networks' configs"
    )
    arguments = parser.parse_args()
    print("| network | seconds, ratio | processor time, ratio |")
    print("| --- | --- | --- |")
    for network in arguments.networks:
        fused, plain = (
            make_side(arguments.part, network, arguments.set, fused=which)
            for which in (True, False)
        )
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
