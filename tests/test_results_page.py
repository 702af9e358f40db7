"""`make results`: what it takes over, what it refuses, and that the pages say what the runs do."""

import dataclasses
import json
import re
import statistics
from pathlib import Path

import pytest
from conftest import ROOT, record_run
from result_checks import CHECKS, describe_check
from result_entries import RESULTS, Results, list_differences, read_results
from result_files import collect_runs
from result_pages import BEGIN, END, render_page, render_readme

from epochlab.errors import ConfigError, RunError
from epochlab.files import format_json
from epochlab.history import Epoch
from epochlab.runs import Run

# Written apart from the tool's own rule, so that one does not hide the other's mistake.
MACHINE_PATH = re.compile(r"(^|[\s\"'=(:\[,])(/(?!device:)\w[^\s/]*/|~/|[A-Za-z]:\\)")
TEXTS = (".json", ".yaml", ".csv")


@pytest.fixture(scope="module")
def committed() -> Results:
    return read_results()


@pytest.fixture
def empty(committed: Results, tmp_path: Path) -> Results:
    """The committed entries with a folder of their own, without runs."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "experiments.yaml").write_bytes((RESULTS / "experiments.yaml").read_bytes())
    return read_results(folder)


def finished_run(out: Path, *settings: str, accuracy: float = 0.99, **options) -> Run:
    """A run with all the records that the results quote, as from another machine."""
    run = record_run(out, *settings, test_accuracy=accuracy, **options)
    script = f"/elsewhere/epochlab/scripts/{run.path.parent.name}.py"
    environment = run.read_json("environment.json") | {
        "threads": {"intra_op": 2, "inter_op": 2},
        "cpus_available": 2,
        "devices": ["/device:CPU:0"],
        "command": ["python", script, "--out", "/scratch/x", "--set", "model.weights=/a/b c/v.h5"],
        "script": script,
    }
    (run.path / "environment.json").write_text(format_json(environment))
    metrics = {
        "test": {"loss": 0.05, "accuracy": accuracy},
        "train_seconds": 90.0,
        "peak_memory_bytes": 1_250_000_000,
        "parameters": {"total": 1_256_080, "trainable": 1_256_080},
    }
    run.write_json("metrics.json", metrics)
    for name in ("accuracy.png", "loss.png"):
        (run.path / name).write_bytes(b"picture")
    return Run(run.path)


def test_the_committed_pages_are_what_the_committed_runs_give(committed: Results):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert page == render_page(committed), "run: make results"
    assert readme == render_readme(readme, committed), "run: make results"


def test_every_accuracy_in_the_readme_follows_from_a_metrics_file(committed: Results):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index(BEGIN) : readme.index(END)]
    for entry in committed.entries:
        (row,) = (line for line in table.splitlines() if line.startswith(f"| [`{entry.name}`]"))
        files = RESULTS.glob(f"{entry.name}/*/metrics.json")
        values = [100 * json.loads(path.read_text())["test"]["accuracy"] for path in files]
        quoted = re.findall(r"([\d.]+)(?: ± ([\d.]+))? % \(n = (\d+)\)", row)
        assert bool(quoted) == bool(values), row
        for mean, spread, count in quoted:
            assert float(mean) == pytest.approx(statistics.fmean(values), abs=0.00501)
            assert int(count) == len(values)
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            assert float(spread or 0) == pytest.approx(deviation, abs=0.00501)


def test_every_accuracy_on_the_page_of_results_stands_in_a_metrics_file():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for folder, accuracy in re.findall(r"^\| \[\d+\]\((results/\S+)\) \| ([\d.]+)", page, re.M):
        metrics = json.loads((ROOT / "docs" / folder / "metrics.json").read_text())
        assert f"{metrics['test']['accuracy']:.4f}" == accuracy


def test_the_committed_runs_have_their_entry_s_settings(committed: Results):
    for entry in committed.entries:
        for run in committed.runs[entry.name]:
            assert list_differences(run, entry, committed.added) == [], run.run.path
            assert run.metrics is not None


def test_no_machine_path_stands_in_the_committed_results():
    for path in RESULTS.rglob("*"):
        if path.suffix in TEXTS:
            text = path.read_text(encoding="utf-8")
            assert not MACHINE_PATH.search(text), path


def test_machine_paths_would_be_found():
    for text in ('"/place/x/y"', "path=/place/x", "a: ~/x", '"C:\\\\x"', "weights: /place/v.h5"):
        assert MACHINE_PATH.search(text)
    assert not MACHINE_PATH.search('"/device:CPU:0" scripts/x.py https://example.org/x')


def test_what_is_collected_has_no_machine_paths_and_is_otherwise_the_same(
    empty: Results, tmp_path: Path
):
    run = finished_run(tmp_path / "outputs")
    (folder,) = collect_runs([run.path], empty)
    assert folder == empty.folder / "lenet_mnist" / run.path.name
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json", "history.csv", "config.yaml", "environment.json", "data.json",
        "collected.json", "accuracy.png", "loss.png",
    }  # fmt: skip
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["script"] == "scripts/lenet_mnist.py"
    assert environment["command"] == [
        "python", "scripts/lenet_mnist.py", "--out", "x", "--set", "model.weights=v.h5",
    ]  # fmt: skip
    assert environment["devices"] == ["/device:CPU:0"]
    for name in ("metrics.json", "history.csv", "config.yaml"):
        assert (folder / name).read_bytes() == (run.path / name).read_bytes()
    assert not any(MACHINE_PATH.search(path.read_text()) for path in folder.glob("*.json"))


def test_three_seeds_give_mean_and_deviation_and_one_pair_of_curves(empty: Results, tmp_path: Path):
    runs = [
        finished_run(tmp_path / "outputs", f"seed={seed}", accuracy=accuracy)
        for seed, accuracy in ((1, 0.99), (2, 0.98), (3, 0.985))
    ]
    collect_runs([run.path for run in runs], empty)
    results = read_results(empty.folder)
    assert len(list(empty.folder.glob("lenet_mnist/*/accuracy.png"))) == 1
    page = render_page(results)
    assert "| 98.50 ± 0.50 % (n = 3) | 3 | 1.5 |  | 2 | 1.25 | `ccccccc` |" in page
    assert "fewer than the 3" not in page
    readme = render_readme(f"above\n{BEGIN}\nold\n{END}\nbelow\n", results)
    assert readme.startswith(f"above\n{BEGIN}\n| experiment |")
    assert readme.endswith(f"|\n{END}\nbelow\n")
    assert "| LeNet | 1,256,080 | curves only | 98.50 ± 0.50 % (n = 3) | 1.5 | 1.25 |" in readme
    assert "old" not in readme


def test_one_run_says_why_it_is_alone(empty: Results, tmp_path: Path):
    run = finished_run(tmp_path / "outputs")
    collect_runs([run.path], empty)
    assert "n = 1, fewer than the 3" in render_page(read_results(empty.folder))
    metrics = empty.folder / "lenet_mnist" / run.path.name / "metrics.json"
    metrics.write_text(metrics.read_text().replace("90.0", "3000.0"))
    assert "n = 1: a run takes 50 minutes, more than 30." in render_page(read_results(empty.folder))


def test_weights_other_than_imagenet_s_are_named_with_their_hash(empty: Results, tmp_path: Path):
    run = finished_run(
        tmp_path / "outputs",
        "model.weights=/elsewhere/vgg16_edges_notop.h5",
        experiment="vgg16_mnist",
    )
    run.write_json("backbone.json", {"weights": "/elsewhere/v.h5", "sha256": "e" * 64})
    (folder,) = collect_runs([run.path], empty)
    assert "weights: vgg16_edges_notop.h5" in (folder / "config.yaml").read_text()
    flow = {"accuracy": 0.91, "command": "python benchmarks/results.py", "seconds": 600}
    flow |= {"gigabytes": 1.5, "machine": {"cpus_available": 1}}
    flow |= {"epochs": [10], "epochs_of_article": [10]}
    page = render_page(read_results(empty.folder))
    assert "began with `vgg16_edges_notop.h5` (SHA-256 eeeeeeeeeeee...)" in page
    assert "91.00 %" not in page
    (folder.parent / "article.json").write_text(format_json(flow))
    page = render_page(read_results(empty.folder))
    assert "with the same weights: 91.00 % test accuracy" in page
    assert "10.0 minutes on 1 core, 1.50 GB" in page
    flow |= {"epochs": [3, 4], "epochs_of_article": [10, 20]}
    (folder.parent / "article.json").write_text(format_json(flow))
    page = render_page(read_results(empty.folder))
    assert "the same weights and only 3 + 4 of its 10 + 20 epochs: 91.00 %" in page


def refusal(path: Path, results: Results) -> str:
    with pytest.raises(RunError) as caught:
        collect_runs([path], results)
    assert not list(results.folder.glob("*/*/metrics.json"))
    return str(caught.value)


def test_an_unfinished_run_is_refused(empty: Results, tmp_path: Path):
    run = record_run(tmp_path / "outputs", test_accuracy=None)
    message = refusal(run.path, empty)
    assert "only finished runs can be quoted" in message
    assert f"epochlab resume {run.path}" in message


@pytest.mark.parametrize("git", [None, {"commit": "c" * 40, "dirty": True}])
def test_a_run_of_code_without_a_commit_is_refused(git, empty: Results, tmp_path: Path):
    run = finished_run(tmp_path / "outputs")
    environment = run.read_json("environment.json") | {"git": git}
    (run.path / "environment.json").write_text(format_json(environment))
    assert "commit, then run it again" in refusal(run.path, empty)


def test_a_run_that_was_changed_on_the_way_is_refused(empty: Results, tmp_path: Path):
    run = finished_run(tmp_path / "outputs")
    session = {"changes": {"training.batch_size": [128, 64]}, "ended": "finished"}
    run.write_json("sessions.json", {"sessions": [session]})
    assert "training.batch_size: was 128, now 64" in refusal(run.path, empty)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("training.batch_size=64", "training.batch_size is 64, not 128"),
        ("data.path=fashion.npz", "data.path is fashion.npz, not null"),
    ],
)
def test_a_run_with_other_settings_is_refused_with_their_names(
    setting: str, named: str, empty: Results, tmp_path: Path
):
    run = finished_run(tmp_path / "outputs", setting)
    message = refusal(run.path, empty)
    assert named in message
    assert "add an entry with `settings`" in message


def test_threads_and_trackers_make_no_other_settings(empty: Results, tmp_path: Path):
    run = finished_run(tmp_path / "outputs", "training.threads=1", "training.trackers=[mlflow]")
    assert len(collect_runs([run.path], empty)) == 1


def test_a_run_from_before_a_setting_was_added_is_taken(empty: Results, tmp_path: Path):
    run = finished_run(tmp_path / "outputs")
    config = run.config_path.read_text()
    run.config_path.write_text(config.replace("  devices: one\n", ""))
    assert len(collect_runs([run.path], empty)) == 1
    run.config_path.write_text(config.replace("  batch_size: 128\n", ""))
    with pytest.raises(RunError, match=r"training\.batch_size is absent, not 128"):
        collect_runs([run.path], empty)


def test_a_second_run_of_a_seed_and_a_run_on_other_data_are_refused(empty: Results, tmp_path: Path):
    first = finished_run(tmp_path / "outputs")
    again = finished_run(tmp_path / "outputs")
    other = finished_run(tmp_path / "outputs", "seed=2", data="f" * 64)
    with pytest.raises(RunError, match="seed 1 of lenet_mnist is there already"):
        collect_runs([first.path, again.path], empty)
    with pytest.raises(RunError, match="other data"):
        collect_runs([first.path, other.path], empty)
    assert not list(empty.folder.glob("*/*"))
    collect_runs([first.path], empty)
    assert len(collect_runs([first.path], read_results(empty.folder))) == 1


def with_history(results: Results, name: str, *rows: tuple[float, float, float | None]) -> Results:
    """Gives the runs of an entry epochs of (loss, accuracy, val_loss); val_accuracy is 0.7."""
    history = [
        Epoch(number, loss, accuracy, watch, None if watch is None else 0.7, 0.1, 1.0)
        for number, (loss, accuracy, watch) in enumerate(rows, 1)
    ]
    runs = [dataclasses.replace(run, history=history) for run in results.runs[name]]
    return dataclasses.replace(results, runs={**results.runs, name: runs})


OVERFITTED = [
    (1.0, 0.70, 1.0), (0.9, 0.75, 0.9), (0.8, 0.80, 0.8), (0.6, 0.85, 0.95), (0.4, 0.90, 1.1),
    (0.2, 0.95, 1.2), (0.1, 1.00, 1.3),
]  # fmt: skip
LEVEL = [(1.0 / (1 + step), 0.7, 1.0 / (1 + step)) for step in range(7)]


@pytest.fixture
def collected(empty: Results, tmp_path: Path) -> Results:
    collect_runs([finished_run(tmp_path / "outputs").path], empty)
    return read_results(empty.folder)


@pytest.mark.parametrize(
    ("check", "on_overfitted", "on_level"),
    [
        ({"kind": "overfitting"}, True, False),
        ({"kind": "no_overfitting"}, False, True),
        ({"kind": "best_epoch", "by": 3}, True, False),
        ({"kind": "gap", "least": 0.1}, True, False),
        ({"kind": "gap", "most": 0.1}, False, True),
        ({"kind": "level", "epoch": 2, "within": 0.001}, True, True),
        ({"kind": "loss_falls", "epoch": 2, "to": 0.5}, False, True),
    ],
)
def test_what_was_to_be_seen_is_computed(
    check, on_overfitted: bool, on_level: bool, collected: Results
):
    for rows, expected in ((OVERFITTED, on_overfitted), (LEVEL, on_level)):
        text = describe_check(check, "lenet_mnist", with_history(collected, "lenet_mnist", *rows))
        assert text.endswith("**seen**" if expected else "**not seen**"), text


def test_the_figures_of_a_check_are_those_of_the_history(collected: Results):
    results = with_history(collected, "lenet_mnist", *OVERFITTED)
    text = describe_check({"kind": "overfitting"}, "lenet_mnist", results)
    assert "0.800 in epoch 3, 1.300 in epoch 7, training loss 0.800 and 0.100" in text
    text = describe_check({"kind": "gap", "least": 0.1}, "lenet_mnist", results)
    assert "it was 20.0 points" in text  # the mean of 0.80, 0.85, 0.90, 0.95, 1.00 less 0.70


def test_without_validation_images_a_check_says_that_it_cannot_be_computed(collected: Results):
    results = with_history(collected, "lenet_mnist", (1.0, 0.5, None), (0.2, 0.9, None))
    for kind in ("overfitting", "gap"):
        text = describe_check({"kind": kind}, "lenet_mnist", results)
        assert text == f"{kind}: cannot be computed without validation images"
    text = describe_check({"kind": "loss_falls", "epoch": 2, "to": 0.5}, "lenet_mnist", results)
    assert text.endswith("(it was 0.20): **seen**")


def test_two_entries_are_compared_once_both_were_run(empty: Results, tmp_path: Path):
    check = {"kind": "accuracy", "side": "above", "than": "mlp_mnist_relu"}
    assert describe_check(check, "lenet_mnist", empty) == (
        "accuracy: `mlp_mnist_relu` was not run yet"
    )
    runs = [
        finished_run(tmp_path / "outputs", f"seed={seed}", experiment=name, accuracy=accuracy)
        for name, low in (("lenet_mnist", 0.98), ("mlp_mnist_relu", 0.90))
        for seed, accuracy in ((1, low), (2, low + 0.01))
    ]
    collect_runs([run.path for run in runs], empty)
    results = read_results(empty.folder)
    text = describe_check(check, "lenet_mnist", results)
    assert "98.50 % and 90.50 % in the mean; p = " in text
    assert text.endswith("**seen**")
    gap = {"kind": "smaller_gap", "than": "mlp_mnist_relu"}
    results = with_history(results, "lenet_mnist", *LEVEL)
    results = with_history(results, "mlp_mnist_relu", *OVERFITTED)
    assert "(0.0 points and 20.0 points in the mean): **seen**" in describe_check(
        gap, "lenet_mnist", results
    )


def test_a_check_of_no_known_kind_is_refused(collected: Results):
    with pytest.raises(ConfigError, match=f"expected one of {', '.join(CHECKS)}"):
        describe_check({"kind": "magic"}, "lenet_mnist", collected)


def test_a_readme_without_the_comments_is_refused(empty: Results):
    with pytest.raises(ConfigError, match="put them back"):
        render_readme("no tables", empty)
