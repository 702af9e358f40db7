"""Trials on a Ray cluster: nodes are checked, workers may die, folders come back."""

import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, make_digits

import epochlab
from epochlab.errors import ConfigError, EnvironmentFault
from epochlab.fleet import ray_worker
from epochlab.fleet.ray_cluster import check_address, connect
from epochlab.fleet.sweep_config import read_sweep
from epochlab.fleet.sweeps import plan_sweep

SWEEP = """\
experiment: quick
set: {data.path: digits.npz}
search: list
space: [{}]
seeds: [1]
cpus_per_trial: 1
"""


@pytest.fixture
def quick(quick: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the experiment `quick` and its data."""
    make_digits(quick / "digits.npz")
    monkeypatch.setattr(ray_worker, "_fingerprints", {})
    return quick


def make_task(folder: Path, token: str) -> dict:
    """Returns what the engine sends to a node for the one trial of `SWEEP`."""
    (folder / "try.yaml").write_text(SWEEP)
    plan = plan_sweep(read_sweep(Path("try.yaml")))
    trial = plan.trials[0]
    place = folder / "outputs/sweeps/try/trials/001-a"
    place.mkdir(parents=True)
    (place / "settings.yaml").write_text(trial.config_text)
    (place.parents[1] / ".token").write_text("word")
    return {
        "identity": "a",
        "experiment": "quick",
        "settings": trial.config_text,
        "folder": str(place),
        "working_folder": str(folder),
        "token": token,
        "packed": None,
        "facts": ray_worker.describe_node(plan.experiment, trial.config),
        "switches": {},
        "node": "here",
    }


@pytest.mark.parametrize("address", ["nowhere", ":6379", "host:", "host:port", "host:99999"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        check_address(address)


def test_an_address_where_nothing_answers_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match=f"--address {address}: nothing answers there"):
            check_address(address)


@pytest.mark.slow
def test_what_answers_and_is_no_cluster_is_named(monkeypatch):
    monkeypatch.setattr("epochlab.fleet.ray_cluster.HEALTH_SECONDS", 5.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match="it is no Ray cluster"):
            check_address(address)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'epochlab\[ray\]'"):
        connect(None, 1)


def test_a_node_that_sees_the_folder_works_in_it(quick):
    task = make_task(quick, "word")
    outcome = ray_worker.run_trial(task)
    assert outcome["state"] == "finished", outcome
    assert "packed" not in outcome
    assert list(Path(task["folder"]).glob("quick/*/metrics.json"))


def test_a_node_that_does_not_see_the_folder_sends_the_run_back(quick, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(quick))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = make_task(quick, "another")
    outcome = ray_worker.run_trial(task)
    assert outcome["state"] == "finished", outcome
    place = Path(task["folder"])
    assert not list(place.glob("quick/*"))
    ray_worker.unpack_trial(outcome["packed"], place)
    assert list(place.glob("quick/*/metrics.json"))
    assert not list(quick.glob("epochlab-*/*/*"))  # nothing is left on the node


def test_a_node_with_other_software_code_or_data_is_refused_before_the_trial(quick):
    task = make_task(quick, "word")
    task["facts"]["tensorflow"] = "2.0.0"
    (quick / "digits.npz").unlink()
    make_digits(quick / "digits.npz", train=100)
    ray_worker._fingerprints.clear()
    found = ray_worker.check_node(task)["differences"]
    assert found[0].startswith("tensorflow: 2.")
    assert found[0].endswith(" there, 2.0.0 here")
    assert found[1].startswith("data (SHA-256): ")
    outcome = ray_worker.run_trial(task)
    assert (outcome["state"], outcome["exit_code"]) == ("failed", 5)
    assert not list(Path(task["folder"]).glob("quick"))


@pytest.mark.slow
def test_twelve_trials_on_two_nodes_are_finished_once_each_though_a_worker_was_killed(quick):
    """In a process of its own: Ray leaves threads and sockets behind, and warns of them."""
    program = (
        "import sys, pathlib, ray_sweep\n"
        "settings = '{data.path: digits.npz, training.epochs: 4, training.seconds: 0.5}'\n"
        "rows = ray_sweep.run_sweep(pathlib.Path.cwd(), 'quick', settings, 12)\n"
        "sys.exit(0 if ray_sweep.report(rows, 12) else 1)\n"
    )
    folders = [str(ROOT / "benchmarks"), str(Path(epochlab.__file__).parents[1])]
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "SIGKILL to worker" in finished.stdout
    assert "trials in the table: 12, different: 12" in finished.stdout
    assert "states: {'finished': 12}" in finished.stdout
    histories = [path.read_text() for path in quick.glob("outputs/sweeps/*/trials/*/quick/*/*.csv")]
    assert Counter(len(history.splitlines()) for history in histories) == {5: 12}
