"""`epochlab sweep` and `epochlab repeat` as a user calls them, on a quick experiment."""

import contextlib
import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import add_quick_experiment, make_digits

GRID = """\
experiment: quick
set: {data.path: digits.npz}
search: grid
space:
  model.slope: [0.1, 0.5]
seeds: [1, 2]
cpus_per_trial: 1
"""
ONE_SEED = GRID.replace("[1, 2]", "[1]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the experiment `quick`, its config and its data."""
    return make_quick(tmp_path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the sweep `GRID`."""
    folder = make_quick(tmp_path_factory.mktemp("swept"))
    finished = sweep(folder, GRID)
    assert finished.returncode == 0, finished.stderr
    (folder / "stdout.txt").write_text(finished.stdout)
    return folder


@pytest.fixture
def again(swept: Path, tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
    return shutil.copytree(swept, tmp_path / "again")


def make_quick(folder: Path) -> Path:
    add_quick_experiment(folder)
    make_digits(folder / "digits.npz")
    return folder


def epochlab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochlab.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def sweep(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "try.yaml").write_text(text)
    return epochlab(folder, "sweep", "try.yaml", *arguments)


def start_sweep(folder: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a sweep and returns once the first trial has finished an epoch."""
    (folder / "try.yaml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "epochlab.cli", "sweep", "try.yaml", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(folder.glob("outputs/sweeps/try/trials/*/quick/*/history.csv")))
    return process


def wait_for(happened, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.02)


def rows(folder: Path, name: str = "try") -> list[dict[str, str]]:
    with (folder / "outputs" / "sweeps" / name / "trials.csv").open() as opened:
        return list(csv.DictReader(opened))


def states(folder: Path) -> Counter[str]:
    return Counter(row["state"] for row in rows(folder))


def test_a_grid_is_every_combination_with_every_seed_each_in_its_own_run(swept):
    table = rows(swept)
    assert [(row["model.slope"], row["seed"]) for row in table] == [
        ("0.1", "1"),
        ("0.5", "1"),
        ("0.1", "2"),
        ("0.5", "2"),
    ]
    assert len({row["run"] for row in table}) == 4
    # 1 - 1 / (1 + 3 epochs * slope + seed / 1000)
    assert float(table[3]["val_accuracy"]) == pytest.approx(1 - 1 / 2.502)
    for row in table:
        assert "threads: 1" in (swept / row["run"] / "config.yaml").read_text()
    assert (swept / "outputs/sweeps/try/comparison/accuracy.png").exists()


def test_what_is_piped_is_one_line_per_event_and_the_comparison(swept):
    printed = (swept / "stdout.txt").read_text()
    assert "\x1b" not in printed
    events = [line for line in printed.splitlines() if line.startswith("[")]
    assert len(events) == 8
    assert all("started" in line or "finished after" in line for line in events)
    assert "slope=0.5" in printed
    assert "4 trials: 4 finished" in printed


def test_the_same_command_runs_only_what_is_missing(again):
    shutil.rmtree(next(again.glob("outputs/sweeps/try/trials/002-*")))
    before = rows(again)
    finished = sweep(again, GRID)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("finished before") == 3
    assert finished.stdout.count("started") == 1
    after = rows(again)
    assert [before[number] for number in (0, 2, 3)] == [after[number] for number in (0, 2, 3)]
    assert after[1]["state"] == "finished"
    assert after[1]["run"] != before[1]["run"]


def test_failed_trials_are_marked_with_their_reason_and_the_others_go_on(folder):
    text = ONE_SEED.replace(
        "model.slope: [0.1, 0.5]", "training.failure: [data, crash, kill, diverge, none]"
    )
    finished = sweep(folder, text)
    assert finished.returncode == 3  # of the first one that failed
    assert states(folder) == {"failed": 3, "diverged": 1, "finished": 1}
    reasons = {row["training.failure"]: row["reason"] for row in rows(folder)}
    assert reasons["data"] == "an image is damaged; mend it"
    assert reasons["crash"] == "AssertionError: a defect"
    assert "killed by SIGKILL" in reasons["kill"]
    assert "3 of 5 trials did not come to their end" in finished.stderr
    assert "output.log" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_trial_that_diverges_is_a_result(folder):
    text = ONE_SEED.replace("model.slope: [0.1, 0.5]", "training.failure: [diverge]")
    finished = sweep(folder, text)
    assert finished.returncode == 0, finished.stderr
    assert states(folder) == {"diverged": 1}
    assert "the loss is nan in epoch 2" in rows(folder)[0]["reason"]
    assert "diverged before" in sweep(folder, text).stdout


def test_a_failed_trial_is_tried_again(folder):
    text = ONE_SEED.replace("data.path: digits.npz", "data.path: later.npz")
    finished = sweep(folder, text)
    assert finished.returncode == 3
    shutil.copy(folder / "digits.npz", folder / "later.npz")
    assert sweep(folder, text).returncode == 0
    assert [row["attempts"] for row in rows(folder)] == ["2"] * 2


def test_a_killed_driver_leaves_no_orphan_and_a_sweep_that_goes_on(folder):
    text = GRID.replace("digits.npz}", "digits.npz, training.seconds: 0.5, training.epochs: 4}")
    process = start_sweep(folder, text, "--parallel", "2")
    process.kill()
    process.communicate()
    # Linux tells the trials, which then end by themselves.
    trials = list(folder.glob("outputs/sweeps/try/trials/*"))
    histories = list(folder.glob("outputs/sweeps/try/trials/*/quick/*/history.csv"))
    again = sweep(folder, text, "--parallel", "2")
    assert again.returncode == 0, again.stderr
    assert states(folder) == {"finished": 4}
    runs = list(folder.glob("outputs/sweeps/try/trials/*/quick/*"))
    assert len(runs) == 4  # those that had begun went on in their own folder
    assert len(trials) == 2
    sessions = json.loads((histories[0].parent / "sessions.json").read_text())["sessions"]
    assert len(sessions) == 2
    assert len(histories[0].read_text().splitlines()) == 5
    assert max(int(row["attempts"]) for row in rows(folder)) == 2


def test_two_drivers_never_drive_one_sweep(folder):
    text = GRID.replace("digits.npz}", "digits.npz, training.seconds: 1}")
    process = start_sweep(folder, text)
    second = sweep(folder, text)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert second.returncode == 4
    assert f"process {process.pid} on " in second.stderr


def test_ctrl_c_has_the_trials_save_and_says_how_to_go_on(folder):
    text = ONE_SEED.replace("digits.npz}", "digits.npz, training.seconds: 0.5}")
    process = start_sweep(folder, text)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in stderr
    assert "Traceback" not in stderr
    assert states(folder)["interrupted"] >= 1
    assert sweep(folder, text).returncode == 0
    assert states(folder) == {"finished": 2}


def test_an_edited_space_is_refused_with_the_difference(again):
    edited = sweep(again, GRID.replace("[0.1, 0.5]", "[0.1, 0.7]"))
    assert edited.returncode == 2
    assert "space.model.slope: was [0.1, 0.5], now [0.1, 0.7]" in edited.stderr
    assert "--name" in edited.stderr
    assert rows(again)[1]["model.slope"] == "0.5"


def test_an_edited_config_of_the_experiment_is_refused(again):
    config = again / "configs" / "quick.yaml"
    config.write_text(config.read_text().replace("epochs: 3", "epochs: 4"))
    edited = sweep(again, GRID)
    assert edited.returncode == 2
    assert "config: training.epochs: was 3, now 4" in edited.stderr


def test_a_budget_leaves_trials_unstarted_and_can_be_raised(folder):
    finished = sweep(folder, ONE_SEED + "budget: {trials: 1}\n")
    assert finished.returncode == 0
    assert "not started: 1 trials, budget.trials: 1" in finished.stdout
    assert states(folder) == {"finished": 1, "not started": 1}
    raised = sweep(folder, ONE_SEED + "budget: {trials: 2, trial_hours: 1e-6}\n")
    assert "not started: 1 trials, budget.trial_hours: 1e-06" in raised.stdout
    assert sweep(folder, ONE_SEED).returncode == 0
    assert states(folder) == {"finished": 2}


def test_the_hours_of_the_budget_are_those_of_all_calls(folder):
    text = ONE_SEED.replace("model.slope: [0.1, 0.5]", "training.failure: [data, none]")
    assert sweep(folder, text).returncode == 3
    # The trial that failed is the first, and what has used the budget up comes after it.
    path = next(folder.glob("outputs/sweeps/try/trials/002-*/trial.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 7200}))
    again = sweep(folder, text + "budget: {trial_hours: 1.5}\n")
    assert again.returncode == 3
    assert "seed 1: started" not in again.stdout
    assert "not started: 0 trials, not tried again: 1, budget.trial_hours: 1.5" in again.stdout
    assert "tries them again where budget.trial_hours: 1.5 allows it" in again.stderr
    assert states(folder) == {"failed": 1, "finished": 1}
    assert [row["attempts"] for row in rows(folder)] == ["1", "1"]


def test_a_comparison_without_validation_images_says_what_it_goes_by(folder, swept):
    text = ONE_SEED.replace("digits.npz}", "digits.npz, data.validation_fraction: 0}")
    finished = sweep(folder, text)
    assert finished.returncode == 0, finished.stderr
    note = "note: no run has val_accuracy, for want of validation images; test.accuracy stands for"
    assert finished.stdout.count(note) == 1
    assert "note: no run has" not in (swept / "stdout.txt").read_text()


def test_repeat_sums_up_and_takes_what_is_there(folder):
    made = subprocess.run(
        [sys.executable, "scripts/quick.py", "--set", "data.path=digits.npz", "--seed", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    run = made.stdout.splitlines()[-1].removeprefix("run: ")
    command = ("repeat", "quick", "--set", "data.path=digits.npz", "--seeds")
    finished = epochlab(folder, *command, "3")
    assert finished.returncode == 0, finished.stderr
    assert f"finished already, with this config, seed and data: {run}" in finished.stdout
    assert finished.stdout.count("started") == 2
    # The seeds 1, 2, 3: mean and standard deviation of 1 - 1 / (1.3 + seed / 1000).
    assert "0.2320 ± 0.0006" in finished.stdout
    more = epochlab(folder, *command, "1,4")
    assert more.stdout.count("started") == 1
    assert len(list(folder.glob("outputs/repeats/*"))) == 1


def test_repeat_does_not_take_a_run_of_other_data(folder):
    arguments = ("repeat", "quick", "--set", "data.path=digits.npz", "--seeds", "1,")
    epochlab(folder, *arguments)
    # Elsewhere, so that the repetition itself is another one.
    (folder / "outputs/repeats").rename(folder / "outputs/earlier")
    make_digits(folder / "digits.npz", train=100)
    finished = epochlab(folder, *arguments)
    assert "finished already" not in finished.stdout
    assert finished.stdout.count("started") == 1


def test_without_home_and_in_the_c_locale(folder):
    (folder / "try.yaml").write_text(ONE_SEED)
    variables = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    finished = subprocess.run(
        [sys.executable, "-m", "epochlab.cli", "sweep", "try.yaml"],
        cwd=folder,
        env=variables | {"LANG": "C", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert finished.returncode == 0, finished.stderr
    assert "2 trials: 2 finished" in finished.stdout


@pytest.mark.slow
def test_optuna_goes_on_as_it_would_have_without_the_break(folder):
    pytest.importorskip("optuna")
    text = ONE_SEED.replace("search: grid", "search: optuna\ntrials: 4").replace(
        "[0.1, 0.5]", "{low: 0.01, high: 1.0, log: true}"
    )
    whole = sweep(folder, text, "--parallel", "1", "--name", "whole")
    assert whole.returncode == 0, whole.stderr
    sweep(folder, text + "budget: {trials: 2}\n", "--parallel", "1")
    assert states(folder) == {"finished": 2, "not started": 1}  # the third is drawn, no more
    assert sweep(folder, text, "--parallel", "1").returncode == 0
    assert states(folder) == {"finished": 4}
    slopes = [row["model.slope"] for row in rows(folder)]
    assert slopes == [row["model.slope"] for row in rows(folder, "whole")]
    assert len(set(slopes)) == 4
    assert (folder / "outputs/sweeps/try/optuna.journal").exists()


@pytest.mark.slow
def test_in_a_terminal_a_table_lives_and_what_it_said_last_stays(folder):
    (folder / "try.yaml").write_text(ONE_SEED)
    command = f"{sys.executable} -m epochlab.cli sweep try.yaml"
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        command.split(), cwd=folder, stdout=other, stderr=other, env=os.environ | {"TERM": "xterm"}
    )
    os.close(other)
    shown = b""
    # At its end Linux answers with an error, others with nothing.
    with contextlib.suppress(OSError):
        while read := os.read(terminal, 65536):
            shown += read
    os.close(terminal)
    assert process.wait() == 0
    assert b"1 of 2 trials, 1 finished" in shown
    assert shown.decode().replace("\r", "").rstrip().splitlines()[-1].endswith("verdicts.csv")
