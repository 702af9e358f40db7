"""How fast this machine convolves: the most that oneDNN gets out of it, in GFLOP/s.

    python benchmarks/convolution_limit.py

3x3 convolutions, forward, of maps of several shapes that the caches like. The best of several
rounds of the best shape: what a network could reach if it consisted of nothing else.
"""

import argparse
import json
import time

# Batch, side of the maps, channels in and out.
SHAPES = ((32, 56, 64, 64), (16, 28, 128, 128), (32, 14, 256, 256), (16, 56, 128, 128))
ROUNDS = 8
CALLS = 4


def measure_limit(precision: str) -> float:
    """Returns the machine's GFLOP/s.

    Args:
        precision: `float32` or `bfloat16`.
    """
    import tensorflow as tf

    best = 0.0
    for batch, side, inputs, outputs in SHAPES:
        images = tf.cast(tf.random.stateless_normal((batch, side, side, inputs), (1, 2)), precision)
        kernel = tf.cast(tf.random.stateless_normal((3, 3, inputs, outputs), (3, 4)), precision)
        convolve = tf.function(lambda x, y: tf.nn.conv2d(x, y, 1, "SAME"), autograph=False)
        convolve(images, kernel)
        operations = 2 * 9 * inputs * outputs * batch * side * side
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for _ in range(CALLS):
                convolve(images, kernel)
            best = max(best, CALLS * operations / (time.perf_counter() - started) / 1e9)
    return best


def main() -> None:
    """Prints the limit in float32 and, where the CPU computes it, in bfloat16."""
    from epochlab.precision import find_bfloat16
    from epochlab.process import load_tensorflow

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    load_tensorflow()
    found = find_bfloat16("one")
    precisions = ("float32", "bfloat16") if found.is_native else ("float32",)
    limits = {precision: measure_limit(precision) for precision in precisions}
    if as_json:
        print(json.dumps(limits))
        return
    for precision, limit in limits.items():
        print(f"{precision}: {limit:.0f} GFLOP/s")
    if not found.is_native:
        print(f"bfloat16: not measured, {found.reason}")


if __name__ == "__main__":
    main()
