"""What a sweep's YAML means, and what is wrong with it: said before anything starts."""

from pathlib import Path

import pytest
import quick_experiment
from conftest import ROOT

from epochlab.errors import ConfigError
from epochlab.fleet.ledger import Ledger
from epochlab.fleet.packing import pack_trial, unpack_trial
from epochlab.fleet.repeats import parse_seeds
from epochlab.fleet.sweep_config import read_sweep
from epochlab.fleet.sweeps import Plan, plan_sweep

HEAD = "experiment: quick\nseeds: [1]\ncpus_per_trial: 1\n"


def plan(text: str) -> Plan:
    Path("try.yaml").write_text(HEAD + text)
    return plan_sweep(read_sweep(Path("try.yaml")))


def refuse(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(text)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")))
def test_the_shipped_sweeps_are_right(path):
    trials = plan_sweep(read_sweep(path)).trials
    assert len({trial.identity for trial in trials}) == len(trials)


def test_a_misspelt_setting_is_named_with_its_line(quick):
    message = refuse("search: grid\nspace:\n  model.slope: [0.1]\n  model.shap: [bent]\n")
    assert message == "try.yaml:7: model.shap: unknown key; did you mean model.shape?"


def test_a_wrong_value_is_named_with_its_line(quick):
    message = refuse("search: grid\nspace:\n  model.slope:\n    - 0.1\n    - -2\n")
    assert message == "try.yaml:8: model.slope: expected a number of at least 0, got -2"


def test_what_a_range_can_give_is_checked_before_optuna_asks(quick):
    message = refuse("search: optuna\ntrials: 2\nspace:\n  model.slope: {low: -1.0, high: 1.0}\n")
    assert message.startswith("try.yaml:7: model.slope: expected a number of at least 0, got -1.0")


OPTUNA = "search: optuna\ntrials: 2\n"
FRACTION = "data.validation_fraction"


def test_optuna_without_validation_images_is_refused_with_what_to_give(quick):
    Path("configs/quick.yaml").write_text(
        quick_experiment.CONFIG.replace("validation_fraction: 0.3", "validation_fraction: 0.0")
    )
    space = OPTUNA + "space: {model.slope: {low: 0.1, high: 1.0}}\n"
    assert refuse(space + "objective: val_loss\n") == (
        "try.yaml:4: search: optuna expects validation images, since it goes by their val_loss; "
        "got data.validation_fraction: 0, which keeps none; give data.validation_fraction above 0 "
        "under set:"
    )
    assert plan(space + f"set: {{{FRACTION}: 0.2}}\n").trials


@pytest.mark.parametrize("values", ["[0.2, 0.0]", "{low: 0.0, high: 0.3}"])
def test_optuna_is_refused_where_one_of_the_points_has_no_validation_images(quick, values):
    message = refuse(f"{OPTUNA}space:\n  {FRACTION}: {values}\n")
    assert message.startswith("try.yaml:7: search: optuna expects validation images")
    assert message.endswith("give only values above 0")


def test_optuna_is_refused_where_set_takes_the_validation_images_away(quick):
    message = refuse(f"set:\n  {FRACTION}: 0\n{OPTUNA}space: {{model.slope: [1, 2]}}\n")
    assert message.startswith("try.yaml:5: search: optuna expects validation images")


def test_a_search_that_does_not_go_by_results_needs_no_validation_images(quick):
    text = f"set: {{{FRACTION}: 0}}\nsearch: grid\nspace: {{model.slope: [1, 2]}}\n"
    assert len(plan(text).trials) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search: gird\nspace: {model.slope: [1]}\n", "did you mean grid?"),
        ("search: grid\nspaec: {model.slope: [1]}\n", "did you mean space?"),
        ("search: grid\nspace: {seed: [1, 2]}\n", "seed is set by seeds"),
        ("search: grid\nspace: {training.threads: [1]}\n", "is set by cpus_per_trial"),
        ("search: grid\nspace: {model.slope: []}\n", "expected a list of values"),
        ("search: grid\nspace: {model.slope: [1, 1]}\n", "has a value twice"),
        ("search: grid\nspace: {model.slope: [1, 1.0]}\n", "trials 1 and 2 are the same run"),
        ("search: grid\nspace: {model.slope: {low: 1, high: 2}}\n", "give a list of values"),
        ("search: random\nspace: {model.slope: [1]}\n", "random asks for trials"),
        ("search: grid\ntrials: 3\nspace: {model.slope: [1]}\n", "leave trials out"),
        ("search: random\ntrials: 3\nspace: {model.slope: {low: 2, high: 1}}\n", "low must be"),
        (
            "search: random\ntrials: 3\nspace: {model.slope: {low: 0, high: 1, log: true}}\n",
            "a logarithmic range begins above 0",
        ),
        ("search: list\nspace: {model.slope: [1]}\n", "expected a list of entries"),
        (
            "search: grid\nset: {model.slope: 2}\nspace: {model.slope: [1]}\n",
            "stands under set, too",
        ),
    ],
)
def test_a_wrong_sweep_is_refused(quick, text, expected):
    message = refuse(text)
    assert message.startswith("try.yaml:")
    assert expected in message


def test_the_same_seed_twice_is_refused(quick):
    Path("try.yaml").write_text(HEAD.replace("[1]", "[1, 2, 1]") + "search: list\nspace: [{}]\n")
    with pytest.raises(ConfigError, match=r"try.yaml:2: seeds: has 1 more than once"):
        read_sweep(Path("try.yaml"))


def test_an_unknown_experiment_is_refused_with_a_suggestion(quick):
    Path("try.yaml").write_text(
        HEAD.replace("quick", "quik") + "search: grid\nspace: {model.slope: [1]}\n"
    )
    with pytest.raises(ConfigError, match=r"try.yaml:1: .*did you mean quick\?"):
        plan_sweep(read_sweep(Path("try.yaml")))


def test_random_points_lie_in_their_ranges_and_are_the_same_again(quick):
    text = (
        "search: random\ntrials: 20\nspace:\n"
        "  model.slope: {low: 1e-4, high: 1.0, log: true}\n"
        "  training.epochs: {low: 2, high: 5}\n"
    )
    settings = [trial.settings for trial in plan(text).trials]
    assert len(settings) == 20
    assert settings == [trial.settings for trial in plan(text).trials]
    assert {setting["training.epochs"] for setting in settings} == {2, 3, 4, 5}
    slopes = [setting["model.slope"] for setting in settings]
    assert all(1e-4 <= slope <= 1 for slope in slopes)
    # Evenly on a logarithmic scale: about half below the middle, 0.01.
    assert 5 <= sum(slope < 0.01 for slope in slopes) <= 15
    assert settings != [trial.settings for trial in plan(text + "search_seed: 2\n").trials]


def test_random_points_are_all_different(quick):
    text = (
        "search: random\ntrials: 9\nspace: {model.slope: [1, 2], model.shape: [bent, straight]}\n"
    )
    assert len(plan(text).trials) == 4


def test_every_point_is_tried_once_before_any_is_repeated(quick):
    Path("try.yaml").write_text(
        HEAD.replace("[1]", "[1, 2]") + "search: list\nspace:\n  - {model.slope: 1}\n  - {}\n"
    )
    trials = plan_sweep(read_sweep(Path("try.yaml"))).trials
    assert [(trial.seed, dict(trial.settings)) for trial in trials] == [
        (1, {"model.slope": 1}),
        (1, {}),
        (2, {"model.slope": 1}),
        (2, {}),
    ]
    # Settings that are those of the config make no other run.
    assert trials[0].identity != trials[1].identity


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (1, 2, 3)), ("1,2,7", (1, 2, 7)), ("7,", (7,)), ("0,5", (0, 5))]
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1,1", "a", "1,-2", "1.5", ",", "99999999"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


def test_a_record_outlives_the_driver(quick):
    trial = plan("search: grid\nspace: {model.slope: [1]}\n").trials[0]
    ledger = Ledger(Path("swept"))
    ledger.add(trial)
    ledger.update(trial.identity, state="failed", reason="no reason", attempts=2)
    again = Ledger(Path("swept")).add(trial)
    assert (again.state, again.reason, again.attempts) == ("failed", "no reason", 2)


def test_records_of_an_earlier_call_are_listed_before_their_trials_are_added(quick):
    trials = plan("search: grid\nspace: {model.slope: [1, 2, 3]}\n").trials
    ledger = Ledger(Path("swept"))
    for trial in trials[:2]:
        ledger.add(trial)
        ledger.update(trial.identity, state="failed", seconds=60.0)
    again = Ledger(Path("swept"))
    assert [record.seconds for record in again.list_all()] == [60, 60]
    again.add(trials[1])
    again.add(trials[2])
    assert sorted(record.seconds for record in again.list_all()) == [0, 60, 60]
    assert list(again.records) == [trial.identity for trial in trials[1:]]


def test_a_trial_whose_run_was_deleted_keeps_the_time_that_it_took(quick):
    trial = plan("search: grid\nspace: {model.slope: [1]}\n").trials[0]
    ledger = Ledger(Path("swept"))
    ledger.add(trial)
    ledger.update(trial.identity, state="finished", seconds=60.0, attempts=1, run="gone")
    again = Ledger(Path("swept")).add(trial)
    assert (again.state, again.seconds, again.attempts) == ("waiting", 60, 1)


def test_a_trial_comes_back_from_another_machine_with_its_run(tmp_path):
    run = tmp_path / "there" / "quick" / "run-seed1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 1\n")
    (run / "metrics.json").write_text("{}")
    (tmp_path / "there" / "output.log").write_text("later\n")
    here = tmp_path / "here"
    old = here / "quick" / "run-seed1"
    old.mkdir(parents=True)
    (old / "config.yaml").write_text("seed: 1\n")
    (old / "partial").write_text("")
    (here / "trial.json").write_text("{}")
    unpack_trial(pack_trial(tmp_path / "there"), here)
    assert sorted(path.name for path in here.iterdir()) == ["output.log", "quick", "trial.json"]
    assert sorted(path.name for path in old.iterdir()) == ["config.yaml", "metrics.json"]
    assert (here / "output.log").read_text() == "later\n"
