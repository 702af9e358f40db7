"""Which finished runs `epochlab repeat` takes for those that it is asked for."""

from pathlib import Path

import pytest
from conftest import record_run

from epochlab.fleet.experiments import fingerprint_data
from epochlab.fleet.ledger import open_ledger
from epochlab.fleet.repeats import name_repeats, plan_repeats, reuse_runs


@pytest.fixture
def reused(tmp_path: Path):
    """Makes a run with seed 1 and some settings, and asks for seed 1 with others."""

    def ask(experiment: str, had: list[str], wanted: list[str], changes: dict | None = None):
        plan = plan_repeats(experiment, None, wanted, [1], 1)
        fingerprint = fingerprint_data(plan.maker.base)
        run = record_run(tmp_path, *had, experiment=experiment, data=fingerprint)
        if changes is not None:
            sessions = [{"ended": "killed"}, {"ended": "finished", "changes": changes}]
            run.write_json("sessions.json", {"sessions": sessions})
        folder = tmp_path / "repeats" / name_repeats(plan)
        folder.mkdir(parents=True)
        ledger = open_ledger(folder, plan.config, plan.maker.base, free=None)
        return reuse_runs(plan, ledger, tmp_path) == [run.path]

    return ask


def test_a_run_of_the_same_config_is_taken_whatever_its_threads(reused):
    assert reused("lenet_mnist", ["training.threads=2"], [])


def test_a_run_with_another_setting_is_not_taken(reused):
    assert not reused("lenet_mnist", [], ["training.batch_size=64"])


def test_a_run_that_began_with_other_weights_is_not_taken(reused):
    assert not reused("vgg16_mnist", [], ["model.weights=none"])


def test_a_run_with_the_same_weights_is_taken(reused):
    assert reused("vgg16_mnist", ["model.weights=none"], ["model.weights=none"])


def test_a_run_that_was_changed_on_the_way_is_not_taken(reused):
    assert not reused("lenet_mnist", [], [], {"training.optimizer.learning_rate": [0.1, 0.001]})


def test_a_run_that_went_on_with_another_cpu_is_taken(reused):
    assert reused("lenet_mnist", [], [], {"cpu": ["one", "another"]})
