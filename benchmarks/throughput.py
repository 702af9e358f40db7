"""Training throughput of Epochlab beside the articles' Keras, native PyTorch, JAX and the machine.

    python benchmarks/throughput.py --data data/cats_dogs --rounds 5 --json throughput.json

Each round runs, each in a process of its own and in another order: the experiment's own script,
checkpoints, records and metrics included; the same network in Keras as the article writes it
(LeNet channels first, photographs through `ImageDataGenerator`, all others from float64 arrays);
in PyTorch, channels last; for the dense network in JAX. No side validates (with photographs, two
images). The first epoch of each process, which traces, compiles and fills caches, is left out.
PyTorch and JAX come with `pip install 'epochlab[benchmark]'`, or from another environment by
`--rivals-python`. bfloat16 is measured where the CPU has it.

Quote the ratios: the machine's speed drifts, and the parts of a round are close in time. GFLOP/s
count what convolutions and dense layers multiply and add, forward and backward; the share is of
what the machine's best 3x3 convolution reaches (`convolution_limit.py`).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timing import (
    describe_machine,
    epoch_seconds,
    measure_process,
    median_and_range,
    script_command,
    write_json,
)

HERE = Path(__file__).parent
NETWORKS = ("lenet_mnist", "convnet_mnist", "mlp_mnist_relu", "cats_dogs_baseline")
Measure = Callable[[], tuple[list[float], float]]


@dataclass(frozen=True)
class Task:
    """One network, and how much of what it is trained on.

    Attributes:
        network: Name of the experiment.
        settings: For Epochlab's script, KEY=VALUE each.
        description: What `network_description.py` tells of it.
        images: Images of an epoch.
        data: A prepared folder, or None for MNIST.
    """

    network: str
    settings: Sequence[str]
    description: Mapping[str, object]
    images: int
    data: Path | None

    def run_script(self, precision: str) -> tuple[list[float], float]:
        """Returns seconds of each epoch but the first, and GB, of Epochlab."""
        settings = (*self.settings, f"training.precision={precision}")
        with tempfile.TemporaryDirectory() as out:
            command = script_command(self.network, settings, out)
            _, peak = measure_process(command, stdout=subprocess.DEVNULL)
            (run,) = Path(out).glob("*/*")
            return epoch_seconds(run), peak

    def run_rival(self, python: str, file: str, precision: str) -> tuple[list[float], float]:
        """Returns the same of another library's training step."""
        task = {**self.description, "images": self.images, "precision": precision}
        command = [python, str(HERE / file), json.dumps(task)]
        result = json.loads(_last_line(command))
        return result["seconds"], result["peak_gb"]

    def run_article(self) -> tuple[list[float], float]:
        """Returns the same of the article's code."""
        command = [sys.executable, str(HERE / "article_epochs.py"), self.network]
        command += [str(self.description[key]) for key in ("batch_size", "epochs")]
        command += [str(self.images), *([str(self.data)] if self.data else [])]
        result = json.loads(_last_line(command))
        return result["seconds"], result["peak_gb"]


def _last_line(command: Sequence[str]) -> str:
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return finished.stdout.splitlines()[-1]


@contextmanager
def make_task(network: str, arguments: argparse.Namespace) -> Iterator[Task]:
    """Gives the network's task, its photographs in a folder that then goes away."""
    from data_pipeline import make_folder

    settings = [*arguments.set, f"training.epochs={arguments.epochs}"]
    with tempfile.TemporaryDirectory() as place:
        data = None
        if "mnist" in network:
            settings += [f"data.limit={arguments.images}", "data.validation_fraction=0"]
        else:
            data = Path(place) / "photographs"
            make_folder(data, 2000, arguments.data)
            settings.append(f"data.path={data}")
        command = [sys.executable, str(HERE / "network_description.py"), network, *settings]
        description = json.loads(_last_line(command))
        images = description["batch_size"] * 100 if data else arguments.images
        yield Task(network, settings, description, images, data)


def list_sides(task: Task, python: str, bfloat16: bool) -> dict[str, Measure]:
    """Returns what is measured of a task, Epochlab's own first."""

    def torch(precision: str) -> Measure:
        return lambda: task.run_rival(python, "rival_torch.py", precision)

    sides: dict[str, Measure] = {
        "Epochlab, float32": lambda: task.run_script("float32"),
        "the article's Keras": task.run_article,
        "PyTorch, float32": torch("float32"),
    }
    if bfloat16:
        sides["Epochlab, bfloat16"] = lambda: task.run_script("mixed_bfloat16")
        sides["PyTorch, bfloat16"] = torch("bfloat16")
    if task.network.startswith("mlp"):
        sides["JAX, float32"] = lambda: task.run_rival(python, "rival_jax.py", "float32")
    return sides


def measure(task: Task, arguments: argparse.Namespace, limits: Mapping[str, float]) -> list[dict]:
    """Runs all rounds of a task and returns one row per side."""
    sides = list_sides(task, arguments.rivals_python, "bfloat16" in limits)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    peaks: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.rounds):
        names = list(sides)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds, peak = sides[name]()
            rates[name].append(task.images / statistics.median(seconds))
            peaks[name].append(peak)
            print(f"{task.network}, {name}: {rates[name][-1]:,.0f}", file=sys.stderr, flush=True)
    rows = []
    for name in sides:
        precision = name.rpartition(", ")[2] if ", " in name else "float32"
        ours = rates[f"Epochlab, {precision}"]
        work = statistics.median(rates[name]) * float(str(task.description["operations"])) / 1e9
        rows.append(
            {
                "network": task.network,
                "side": name,
                "images_per_second": rates[name],
                "times": [mine / other for mine, other in zip(ours, rates[name], strict=True)],
                "gflops": work,
                "share_of_limit": work / limits[precision],
                "peak_gb": max(peaks[name]),
            }
        )
    return rows


def print_row(row: Mapping) -> None:
    """Prints a row of the table."""
    is_ours = row["side"].startswith("Epochlab")
    times = "" if is_ours else median_and_range(row["times"])
    print(
        f"| `{row['network']}` | {row['side']} | "
        f"{median_and_range(row['images_per_second'], ',.0f')} | {times} | {row['gflops']:.0f} | "
        f"{row['share_of_limit']:.0%} | {row['peak_gb']:.2f} |",
        flush=True,
    )


def main() -> None:
    """Prints the machine's limit and one table row per network and side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all four")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800, help="of MNIST")
    parser.add_argument("--epochs", type=int, default=4, help="per process, the first not counted")
    parser.add_argument("--data", type=Path, help="a prepared folder; default: made photographs")
    parser.add_argument("--set", action="append", default=[], help="for Epochlab's side only")
    parser.add_argument("--rivals-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    command = [sys.executable, str(HERE / "convolution_limit.py"), "--json"]
    limits = json.loads(_last_line(command))
    for precision, limit in limits.items():
        print(f"3x3 convolution, {precision}: {limit:.0f} GFLOP/s")
    print(f"Epochlab's switches beside the shipped YAML: {' '.join(arguments.set) or 'none'}\n")
    print("| network | side | images/s | Epochlab is faster by | GFLOP/s | of the limit | GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rows = []
    for network in arguments.networks or NETWORKS:
        with make_task(network, arguments) as task:
            rows += measure(task, arguments, limits)
        for row in rows:
            if row["network"] == network:
                print_row(row)
    figures = {"machine": describe_machine(), "limits_gflops": limits, "set": arguments.set}
    write_json(arguments.json, {**figures, "rows": rows})


if __name__ == "__main__":
    main()
