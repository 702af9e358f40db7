"""`epochlab compare` and `whence`: what differs, whether it is real, where a picture comes from."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import record_run
from PIL import Image

from epochlab.compare import compare_runs, read_figures
from epochlab.comparison_files import write_comparison
from epochlab.comparison_text import describe_comparison
from epochlab.errors import RunError
from epochlab.recorded_runs import read_run
from epochlab.run_search import find_runs

SLOW_RATE = "training.optimizer.learning_rate=0.0001"
RECORDS = ("config.yaml", "environment.json", "data.json", "sessions.json", "metrics.json")


def epochlab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochlab.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    )


def compare(*runs):
    return compare_runs([read_run(run.path) for run in runs])


def labels(*runs) -> list[str]:
    return [group.label for group in compare(*runs).groups]


def test_labels_say_only_what_differs(tmp_path):
    one = record_run(tmp_path)
    other = record_run(tmp_path, SLOW_RATE, "training.batch_size=64")
    assert labels(one, other) == [
        "batch_size=128, learning_rate=0.001",
        "batch_size=64, learning_rate=0.0001",
    ]


def test_another_optimizer_is_named_without_the_constants_that_follow_from_it(tmp_path):
    constants = "learning_rate: 0.001, decay: 0.0, momentum: 0.9, nesterov: false"
    sgd = record_run(tmp_path, f"training.optimizer={{name: sgd, {constants}}}")
    assert labels(record_run(tmp_path), sgd) == [
        "optimizer=adam",
        "optimizer=sgd",
    ]


def test_runs_of_several_experiments_go_by_their_names(tmp_path):
    one, other = record_run(tmp_path), record_run(tmp_path, experiment="convnet_mnist")
    assert labels(one, other) == ["lenet_mnist", "convnet_mnist"]


def test_a_single_config_goes_by_its_experiment(tmp_path):
    assert labels(record_run(tmp_path)) == ["lenet_mnist"]


def test_seeds_of_one_config_are_one_group(tmp_path):
    runs = [record_run(tmp_path, f"seed={seed}", test_accuracy=0.9 + seed / 100) for seed in (1, 2)]
    (group,) = compare(*runs).groups
    assert group.figures("test.accuracy") == [0.91, 0.92]
    assert group.label == "lenet_mnist (n = 2)"


def record_transfer(folder: Path, *settings: str, sha256: str, **more):
    run = record_run(folder, *settings, experiment="cats_dogs_vgg16_frozen", **more)
    run.write_json("backbone.json", {"sha256": sha256})
    return run


def test_runs_that_began_with_other_weights_are_of_another_config(tmp_path):
    one = record_transfer(tmp_path, sha256="a" * 64)
    moved = record_transfer(tmp_path, "model.weights=/b/c.h5", "seed=2", sha256="a" * 64)
    other = record_transfer(tmp_path, "model.weights=/b/c.h5", sha256="c" * 64)
    # What an untrained base begins with follows from the seed.
    bare = [
        record_transfer(tmp_path, "model.weights=none", f"seed={seed}", sha256=str(seed) * 64)
        for seed in (1, 2)
    ]
    comparison = compare(one, moved, other, *bare)
    assert [(group.label, len(group.runs)) for group in comparison.groups] == [
        ("weights=aaaaaaaa (n = 2)", 2),
        ("weights=cccccccc", 1),
        ("weights=none (n = 2)", 2),
    ]
    assert comparison.repeated == []


def accept(run, key: str, was: object, now: object) -> None:
    first, again = {"ended": "killed"}, {"ended": "finished", "changes": {key: [was, now]}}
    run.write_json("sessions.json", {"sessions": [first, again]})


def test_a_run_that_was_changed_on_the_way_is_of_no_config(tmp_path):
    clean = [record_run(tmp_path, f"seed={seed}") for seed in (1, 2)]
    changed = record_run(tmp_path)
    accept(changed, "training.optimizer.learning_rate", 0.1, 0.001)
    comparison = compare(changed, *clean)
    assert [(group.label, len(group.runs)) for group in comparison.groups] == [
        (f"changed={changed.path.name}: training.optimizer.learning_rate was 0.1", 1),
        ("lenet_mnist (n = 2)", 2),
    ]
    assert comparison.notes == [
        f"lenet_mnist/{changed.path.name}: was changed on the way: "
        "training.optimizer.learning_rate: was 0.1, now 0.001"
    ]


def test_runs_that_were_changed_on_the_way_are_never_one_config(tmp_path):
    runs = [record_run(tmp_path, "seed=1"), record_run(tmp_path, "seed=1")]
    for run in runs:
        accept(run, "training.optimizer.learning_rate", 0.1, 0.001)
    comparison = compare(*runs)
    assert [len(group.runs) for group in comparison.groups] == [1, 1]
    assert comparison.repeated == []


def test_of_changed_data_only_the_hash_is_told(tmp_path):
    run = record_run(tmp_path)
    pairs = {"data.sha256": ["a" * 64, "b" * 64], "data.skipped.1.jpg": [None, "damaged"]}
    sessions = [{"ended": "killed"}, {"ended": "finished", "changes": pairs}]
    run.write_json("sessions.json", {"sessions": sessions})
    (note,) = compare(run).notes
    assert "data.sha256" in note


def test_another_cpu_on_the_way_is_noted_and_no_other_config(tmp_path):
    runs = [record_run(tmp_path, f"seed={seed}") for seed in (1, 2)]
    accept(runs[0], "cpu", "one", "another")
    comparison = compare(*runs)
    assert [len(group.runs) for group in comparison.groups] == [2]
    assert comparison.notes[0].endswith('was changed on the way: cpu: was "one", now "another"')


def test_figures_are_those_of_the_epoch_whose_weights_were_kept(tmp_path):
    phases = ("phases.0.epochs=2", "phases.1.epochs=2", "training.keep=best")
    more = {"losses": [0.5] * 4, "val_losses": [0.5, 0.2, 0.4, 0.6]}
    experiment = "cats_dogs_vgg16_finetune"
    run = record_run(tmp_path, *phases, experiment=experiment, **more)
    assert read_figures(read_run(run.path))["val_loss"] == 0.4
    # Early stopping moves the phases, so only the run can tell.
    stopping = "training.early_stopping={patience: 1, min_delta: 0.0}"
    run = record_run(tmp_path, *phases, stopping, experiment=experiment, **more)
    assert read_figures(read_run(run.path))["val_loss"] is None
    run.write_json("metrics.json", run.read_json("metrics.json") | {"kept_epoch": 4})
    assert read_figures(read_run(run.path))["val_loss"] == 0.6


def test_threads_and_places_are_no_difference(tmp_path):
    one = record_run(tmp_path, "training.threads=1")
    other = record_run(tmp_path, "training.threads=2", "data.path=elsewhere.npz", "seed=2")
    assert len(compare(one, other).groups) == 1


def test_other_data_is_a_difference_and_is_noted(tmp_path):
    comparison = compare(record_run(tmp_path), record_run(tmp_path, data="e" * 64))
    assert [group.label for group in comparison.groups] == ["data=dddddddd", "data=eeeeeeee"]
    assert any("not all on the same data" in note for note in comparison.notes)


def test_other_code_is_noted_in_words(tmp_path):
    one, other = record_run(tmp_path), record_run(tmp_path, "seed=2")
    environment = other.path / "environment.json"
    environment.write_text(json.dumps(json.loads(environment.read_text()) | {"code_sha256": "e"}))
    assert compare(one, other).notes == [
        f"not all by the same code: 1 as lenet_mnist/{one.path.name}, "
        f"1 as lenet_mnist/{other.path.name}"
    ]


def test_scripts_of_one_commit_are_no_other_code(tmp_path):
    one, other = record_run(tmp_path), record_run(tmp_path, experiment="convnet_mnist")
    environment = other.path / "environment.json"
    records = json.loads(environment.read_text()) | {"code_sha256": "e"}
    environment.write_text(json.dumps(records))
    assert compare(one, other).notes == []
    for git in ({"commit": "d" * 40, "dirty": False}, {"commit": "c" * 40, "dirty": True}, None):
        environment.write_text(json.dumps(records | {"git": git}))
        (note,) = compare(one, other).notes
        assert note.startswith("not all by the same code: ")


def test_a_repetition_counts_once(tmp_path):
    one, again = record_run(tmp_path), record_run(tmp_path)
    comparison = compare(one, again)
    assert [len(group.runs) for group in comparison.groups] == [1]
    assert [(run.name, kept.name) for run, kept in comparison.repeated] == [
        (f"lenet_mnist/{again.path.name}", f"lenet_mnist/{one.path.name}")
    ]


def test_an_unfinished_run_is_listed_and_in_no_mean(tmp_path):
    done = record_run(tmp_path)
    broken = record_run(tmp_path, "seed=2", test_accuracy=None)
    comparison = compare(broken, done)
    assert [group.label for group in comparison.groups] == [
        "lenet_mnist",
        "lenet_mnist (seed 2, unfinished)",
    ]
    assert comparison.groups[1].figures("test.accuracy") == []
    assert "not finished, so in no mean: lenet_mnist/" in describe_comparison(
        comparison, "test.accuracy"
    )


def test_the_validation_figure_is_that_of_the_kept_weights(tmp_path):
    watched = {"losses": (0.3, 0.2, 0.1), "val_losses": (0.5, 0.2, 0.4)}
    last = record_run(tmp_path, "training.keep=last", **watched)
    best = record_run(tmp_path, "training.keep=best", **watched)
    comparison = compare(last, best)
    assert [group.figures("val_loss") for group in comparison.groups] == [[0.4], [0.2]]


def test_the_verdict_puts_the_better_config_first(tmp_path):
    accuracies = {"": (0.970, 0.971, 0.972), SLOW_RATE: (0.990, 0.991, 0.992)}
    runs = [
        record_run(tmp_path, f"seed={seed}", *filter(None, [setting]), test_accuracy=accuracy)
        for setting, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    text = describe_comparison(compare(*runs), "test.accuracy")
    assert "2 vs 1: +0.0200 (" in text
    assert "a real difference" in text


def test_three_equal_seeds_are_not_distinguishable(tmp_path):
    runs = [
        record_run(tmp_path, f"seed={seed}", setting, test_accuracy=0.98 + (seed * 7 % 3) / 1000)
        for setting in ("training.batch_size=64", "training.batch_size=32")
        for seed in (1, 2, 3)
    ]
    text = describe_comparison(compare(*runs), "test.accuracy")
    assert "not distinguishable with n = 3 and 3" in text


def test_one_run_each_is_no_test_and_says_what_to_do(tmp_path):
    text = describe_comparison(
        compare(record_run(tmp_path), record_run(tmp_path, SLOW_RATE)), "test.accuracy"
    )
    assert "no test with n = 1 and 1" in text
    assert "epochlab repeat" in text


def test_pictures_and_tables_are_written_and_the_same_each_time(tmp_path):
    runs = [
        record_run(tmp_path / "outputs", f"seed={seed}", *rate)
        for rate in ((), (SLOW_RATE,))
        for seed in (1, 2)
    ]
    comparison = compare(*runs)
    written = [
        write_comparison(tmp_path / name, comparison, "test.accuracy") for name in ("one", "two")
    ]
    assert [path.name for path in written[0]] == [
        "accuracy.png",
        "loss.png",
        "runs.csv",
        "verdicts.csv",
    ]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with (tmp_path / "one" / "runs.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["training.optimizer.learning_rate"] for row in rows] == ["0.001"] * 2 + [
        "0.0001"
    ] * 2
    assert {row["test.accuracy"] for row in rows} == {"0.99"}


def test_a_history_that_was_cut_short_is_used_as_far_as_it_goes(tmp_path):
    run = record_run(tmp_path)
    history = run.path / "history.csv"
    text = history.read_text()
    for end in range(len(text)):
        history.write_text(text[:end])
        recorded = read_run(run.path)
        assert len(recorded.history) == max(0, text[:end].count("\n") - 1)
        assert text[:end].endswith("\n") == (recorded.notes == [])


def test_rows_out_of_order_are_damage(tmp_path):
    run = record_run(tmp_path)
    history = run.path / "history.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join([*lines[:2], lines[3]]))
    recorded = read_run(run.path)
    assert len(recorded.history) == 1
    assert "epoch 3 stands where 2 belongs" in recorded.notes[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "experiment: lenet_mnist\nseed: [1]\n"),
        ("config.yaml", "experiment: lenet_mnist\nseed: 1\nphases: [{a: 1}, 2]\n"),
        ("metrics.json", '{"test": {"accuracy": 0.9, "loss": NaN}}'),
    ],
)
def test_values_that_no_script_writes_cost_no_other_run(tmp_path, name, text):
    good = [record_run(tmp_path, f"seed={seed}") for seed in (1, 2)]
    bad = record_run(tmp_path, "seed=3")
    (bad.path / name).write_text(text)
    listed = epochlab(tmp_path, "list", ".")
    assert listed.returncode == 0, listed.stderr
    compared = epochlab(tmp_path, "compare", ".", "--metric", "test.loss", "--out", "here")
    assert compared.returncode == (4 if "seed: [" in text else 0)
    assert "Traceback" not in compared.stderr
    assert good[0].path.name in listed.stdout


@pytest.mark.parametrize("below", ["", "pictures"])
def test_a_run_s_own_pictures_are_not_written_over(tmp_path, below):
    run = record_run(tmp_path / "outputs")
    out = f"outputs/lenet_mnist/{run.path.name}/{below}"
    finished = epochlab(tmp_path, "compare", "lenet_mnist", "--out", out)
    assert finished.returncode == 2
    assert "is a run's folder" in finished.stderr
    assert not list(run.path.rglob("*.png"))


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sessions": [3]}', "[" * 9999, "\0"])
def test_a_damaged_record_is_told_of(tmp_path, name, text):
    good = record_run(tmp_path)
    bad = record_run(tmp_path, SLOW_RATE)
    (bad.path / name).write_text(text)
    try:
        comparison = compare_runs(find_runs([str(tmp_path)], tmp_path))
    except RunError as error:
        assert name == "config.yaml" and str(bad.path) in str(error)
        return
    assert good.path in [run.run.path for group in comparison.groups for run in group.runs]
    assert describe_comparison(comparison, "test.accuracy")
    if name == "environment.json":  # which goes into the pictures
        assert write_comparison(tmp_path / "out", comparison, "test.accuracy")


def test_command_compares_experiments_by_their_newest_finished_run(tmp_path):
    outputs = tmp_path / "outputs"
    record_run(outputs, test_accuracy=0.5)
    newest = record_run(outputs, "seed=3")
    record_run(outputs, "seed=9", test_accuracy=None)
    finished = epochlab(tmp_path, "compare", "lenet_mnist", "--out", "here")
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "here" / "runs.csv").open(newline="") as opened:
        assert [row["run"] for row in csv.DictReader(opened)] == [f"lenet_mnist/{newest.path.name}"]
    lines = finished.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    told = lines.index("only the newest of 2 runs of lenet_mnist; all of them:")
    assert lines[told + 1] == "epochlab compare outputs/lenet_mnist"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("lenet_mnits", "did you mean lenet_mnist?"),
        ("nothing/*", "matches no run folder"),
        ("empty", "neither a run folder nor a folder with runs in it"),
        ("convnet_mnist", "no run in outputs/convnet_mnist is finished"),
    ],
)
def test_what_is_no_run_is_named_with_the_remedy(tmp_path, given, words):
    record_run(tmp_path / "outputs")
    record_run(tmp_path / "outputs", experiment="convnet_mnist", test_accuracy=None)
    (tmp_path / "empty").mkdir()
    finished = epochlab(tmp_path, "compare", given)
    assert finished.returncode == 4
    assert finished.stdout == "" and finished.stderr.startswith("error: ")
    assert words in finished.stderr
    assert not (tmp_path / "outputs" / "comparisons").exists()


def test_an_unknown_metric_is_refused(tmp_path):
    record_run(tmp_path / "outputs")
    finished = epochlab(tmp_path, "compare", "lenet_mnist", "--metric", "f1")
    assert finished.returncode == 2
    assert "expected one of test.accuracy, " in finished.stderr


def test_twelve_runs_are_compared_without_tensorflow(tmp_path):
    for seed in range(12):
        record_run(tmp_path / "outputs", f"seed={seed}", losses=[0.1] * 50, val_losses=[0.2] * 50)
    program = (
        "import sys\n"
        "from epochlab.cli import main\n"
        "sys.argv = ['epochlab', 'compare', 'outputs/lenet_mnist', '--out', 'here']\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "[]"


def test_a_picture_of_several_runs_says_which_they_are(tmp_path):
    runs = [record_run(tmp_path / "outputs", f"seed={seed}") for seed in (1, 2)]
    paths = write_comparison(tmp_path / "out", compare(*runs), "test.accuracy")
    with Image.open(paths[0]) as picture:
        legend = json.loads(picture.text["comparison"])  # pyright: ignore[reportAttributeAccessIssue]
    assert list(legend) == ["lenet_mnist (n = 2)"]
    assert [fields["run"] for fields in legend["lenet_mnist (n = 2)"]] == [
        run.path.name for run in runs
    ]
    told = epochlab(tmp_path, "whence", "out/accuracy.png").stdout
    for run in runs:
        assert f"outputs/lenet_mnist/{run.path.name}" in told


def test_a_copied_picture_still_says_where_it_comes_from(tmp_path):
    run = record_run(tmp_path / "outputs")
    picture = Image.new("RGB", (4, 4))
    from PIL.PngImagePlugin import PngInfo

    fields = PngInfo()
    for name, value in run.provenance(2).items():
        fields.add_text(name, value)
    picture.save(tmp_path / "copy.png", pnginfo=fields)
    told = epochlab(tmp_path, "whence", "copy.png")
    assert told.returncode == 0, told.stderr
    assert f"folder        outputs/lenet_mnist/{run.path.name}" in told.stdout
    (run.path / "config.yaml").write_text("seed: 2\n")
    changed = epochlab(tmp_path, "whence", "copy.png")
    assert "its config is no longer that of the picture" in changed.stdout


@pytest.mark.parametrize("content", [None, b"", b"GIF89a", "other"])
def test_a_picture_that_is_not_ours_is_refused(tmp_path, content):
    path = tmp_path / "x.png"
    if content == "other":
        Image.new("RGB", (4, 4)).save(path)
    elif content is not None:
        path.write_bytes(content)
    refused = epochlab(tmp_path, "whence", "x.png")
    assert refused.returncode == 4
    assert refused.stderr.startswith("error: x.png: ")
    assert refused.stderr.count("\n") == 1
