"""Peak memory of a training on many image files, cached and streamed, beside a small dataset.

Makes that many distinct small JPEG files in a temporary folder and runs a few steps of
`cats_dogs_baseline` on them, in a process of its own each time. In memory at once, their pixels at
150 x 150 would take 67.5 kB each: 6.75 GB for 100,000.

    python benchmarks/many_files.py --files 100000
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from timing import measure_process, script_command


def make_files(root: Path, count: int) -> None:
    """Writes `count` files, 98 % of them for training, in two classes."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    shares = {"train": 0.98, "validation": 0.01, "test": 0.01}
    for split, share in shares.items():
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(int(count * share / 2)):
                pixels = generator.integers(0, 256, (24, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}.{number}.jpg", quality=50)


def run_script(data: Path, out: str, cache_limit: float) -> tuple[float, float]:
    """Returns seconds and peak memory in GB of one run of 20 steps."""
    settings = (
        f"data.path={data}",
        f"data.cache_limit={cache_limit}",
        "training.epochs=1",
        "training.steps_per_epoch=20",
    )
    command = script_command("cats_dogs_baseline", settings, out)
    return measure_process(command, stdout=subprocess.DEVNULL)


def main() -> None:
    """Prints one table row per size and way of reading."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    arguments = parser.parse_args()
    print("| files | cache_limit, GiB | call | seconds | peak memory, GB |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EPOCHLAB_CACHE"] = str(Path(folder) / "cache")
        for files in (arguments.files // 50, arguments.files):
            data = Path(folder) / str(files)
            make_files(data, files)
            for cache_limit in (0.0, 10.0):
                for call in ("first", "second"):
                    seconds, peak = run_script(data, folder, cache_limit)
                    row = f"{files:,} | {cache_limit:g} | {call} | {seconds:.0f} | {peak:.2f}"
                    print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
