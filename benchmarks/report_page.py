"""How long a browser takes to open the report page of many runs.

Trains one small LeNet, makes run folders with its records and pictures and with histories and
settings of their own, writes the report page, and opens it anew each time in headless Chromium from
the disk. Needs Playwright and a Chromium; no network.

    python benchmarks/report_page.py --runs 500 --epochs 50
"""

import argparse
import itertools
import json
import math
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from timing import measure_process, median_and_range, trained_run

from epochlab.config.yaml_reader import read_yaml
from epochlab.config.yaml_writer import dump_yaml
from epochlab.history import Epoch, format_history

BEGUN = datetime(2026, 11, 1, tzinfo=UTC)
REPETITIONS = 5
# Notes when the table was first painted with all its rows.
WATCH = """
const watch = () => {
  const body = document.querySelector('#table tbody');
  if (body && body.rows.length) requestAnimationFrame(() => setTimeout(() => {
    window.shownAfter = performance.now();
  }));
  else requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""


def make_runs(outputs: Path, model_run: Path, runs: int, epochs: int) -> None:
    """Writes run folders that differ in seed, learning rate, batch size and activation."""
    values = read_yaml(model_run / "config.yaml").values
    metrics = json.loads((model_run / "metrics.json").read_text())
    pictures = {file.name: file.read_bytes() for file in model_run.glob("*.png")}
    choices = itertools.product((1e-4, 1e-3, 1e-2), (32, 64, 128), ("relu", "tanh"), range(1, 1000))
    for number, (rate, batch_size, activation, seed) in enumerate(itertools.islice(choices, runs)):
        generator = random.Random(number)
        time = f"{BEGUN + timedelta(minutes=7 * number):%Y%m%dT%H%M%SZ}"
        run = outputs / "lenet_mnist" / f"{time}-seed{seed}"
        run.mkdir(parents=True)
        for file in model_run.glob("*.json"):
            shutil.copyfile(file, run / file.name)
        for file, picture in pictures.items():
            # That of the network is the same in all of them.
            own = picture if file == "model.png" else _mark_picture(picture, run.name)
            (run / file).write_bytes(own)
        training = values["training"] | {"epochs": epochs, "batch_size": batch_size}
        training["optimizer"] = values["training"]["optimizer"] | {"learning_rate": rate}
        model = values["model"] | {"activation": activation}
        config = values | {"seed": seed, "training": training, "model": model}
        (run / "config.yaml").write_text(dump_yaml(config))
        history = list(_make_history(generator, epochs, rate))
        (run / "history.csv").write_text(format_history(history))
        test = {"loss": history[-1].val_loss, "accuracy": history[-1].val_accuracy}
        (run / "metrics.json").write_text(json.dumps(metrics | {"test": test, "epochs": epochs}))


def _mark_picture(content: bytes, name: str) -> bytes:
    """Returns a PNG file of this run alone: with a chunk of its own, which no program knows."""
    kind, data = b"ruNn", name.encode()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    end = content.rindex(b"IEND") - 4
    return content[:end] + chunk + content[end:]


def _make_history(generator: random.Random, epochs: int, rate: float) -> Iterator[Epoch]:
    for epoch in range(1, epochs + 1):
        loss, val_loss = (
            2.3 * math.exp(-epoch / 12) + floor + generator.uniform(0, 0.05)
            for floor in (0.02, 0.1)
        )
        accuracy, val_accuracy = math.exp(-loss), math.exp(-val_loss)
        yield Epoch(epoch, loss, accuracy, val_loss, val_accuracy, rate, generator.uniform(3, 4))


def open_page(page: Path, chromium: str) -> dict[str, Any]:
    """Opens the page in a new browser, sorts its table, and returns the milliseconds it took."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 860})
        opened.add_init_script(WATCH)
        session = opened.context.new_cdp_session(opened)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        opened.goto(page.as_uri(), wait_until="load", timeout=120_000)
        opened.wait_for_function("window.shownAfter !== undefined")
        figures = opened.evaluate(
            """() => ({
              'table shown': window.shownAfter,
              'all loaded': performance.timing.loadEventEnd - performance.timing.navigationStart,
              rows: document.querySelector('#table tbody').rows.length,
            })"""
        )
        measured = session.send("Performance.getMetrics")["metrics"]
        (busy,) = (each["value"] for each in measured if each["name"] == "TaskDuration")
        figures["CPU time of the page's thread"] = 1000 * busy
        figures["sorting"] = opened.evaluate(
            """() => {
              const begun = performance.now();
              document.querySelector('#table thead [title=test_accuracy] button').click();
              document.querySelector('#table').getBoundingClientRect();
              return performance.now() - begun;
            }"""
        )
        browser.close()
    return figures


def main() -> None:
    """Prints size and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--pictures", default="auto", choices=["auto", "embed", "link", "none"])
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        settings = ["data.limit=500", "training.epochs=1"]
        with trained_run("lenet_mnist", settings) as run:
            make_runs(outputs, run, arguments.runs, arguments.epochs)
        command = [sys.executable, "-m", "epochlab.cli", "report", str(outputs)]
        command += ["--pictures", arguments.pictures]
        seconds, memory = measure_process(command, stdout=subprocess.DEVNULL)
        page = outputs / "report.html"
        size = page.stat().st_size / 1e6
        print(f"{arguments.runs} runs of {arguments.epochs} epochs, pictures: {arguments.pictures}")
        print(f"written in {seconds:.1f} s with {memory:.2f} GB of memory: {size:.1f} MB")
        results = [open_page(page, arguments.chromium) for _ in range(REPETITIONS)]
        assert all(result["rows"] == arguments.runs for result in results)
        print(f"opened {REPETITIONS} times, median and range in seconds:")
        for name in (name for name in results[0] if name != "rows"):
            print(f"  {name}: {median_and_range([result[name] / 1000 for result in results])}")


if __name__ == "__main__":
    main()
