"""The learning rate of a training with a single phase, and what a config may say of it."""

from pathlib import Path

import numpy as np
import pytest
from conftest import load_experiment

from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.errors import ConfigError
from epochlab.models.mlp import build_mlp
from epochlab.session_records import Change, is_extension
from epochlab.training import compile_classifier

COSINE = "training.schedule=cosine"


@pytest.mark.parametrize(("steps_per_epoch", "steps"), [("null", 7), ("3", 3)])
def test_cosine_falls_to_zero_over_all_steps(digits: Path, steps_per_epoch, steps):
    changes = ("training.epochs=4", f"training.steps_per_epoch={steps_per_epoch}", COSINE)
    config = load_experiment("mlp_mnist_relu", "training.batch_size=20", *changes)
    data = load_mnist(
        MnistConfig(path=str(digits), limit=None, validation_fraction=0.3, augment=None)
    )
    model = build_mlp(config.model, data.image_shape, data.num_classes, 1)
    compile_classifier(model, data, config.training)
    rate = model.optimizer._learning_rate
    places = [0, steps, 2 * steps, 4 * steps]
    np.testing.assert_allclose(
        [float(rate(place)) for place in places],
        [0.001, 0.0005 * (1 + np.cos(np.pi / 4)), 0.0005, 0.0],
        atol=1e-9,
    )


def test_a_cosine_and_a_decay_are_refused_together():
    with pytest.raises(ConfigError, match="both change the learning rate"):
        load_experiment("mlp_mnist_tanh", COSINE)
    assert load_experiment("mlp_mnist_tanh", COSINE, "training.optimizer.decay=0")


@pytest.mark.parametrize("share", ["1.0", "-0.1", "null"])
def test_label_smoothing_is_a_share_below_one(share):
    with pytest.raises(ConfigError, match=r"label_smoothing: expected"):
        load_experiment("mlp_mnist_relu", f"training.label_smoothing={share}")


@pytest.mark.parametrize(
    ("config", "extends"),
    [
        ({"training": {"schedule": "constant"}}, True),
        ({"training": {"schedule": "cosine"}}, False),
        ({"training": {}}, True),
    ],
)
def test_more_epochs_extend_a_run_only_where_the_rate_does_not_depend_on_them(config, extends):
    assert is_extension(Change("training.epochs", 2, 4), config) == extends


def test_more_epochs_extend_the_last_phase_alone():
    phases = [{"schedule": "cosine"}, {"schedule": "constant"}]
    assert is_extension(Change("phases.1.epochs", 2, 4), {"phases": phases})
    assert not is_extension(Change("phases.0.epochs", 2, 4), {"phases": phases})
    assert not is_extension(Change("phases.1.epochs", 2, 4), {"phases": phases[::-1]})


def test_the_hand_written_loop_refuses_what_it_does_not_do():
    with pytest.raises(ConfigError, match=r"label_smoothing: expected 0\.0, all that this script"):
        load_experiment("custom_dense_mnist", "training.label_smoothing=0.1")
    assert load_experiment("custom_dense_mnist", COSINE)
    augment = load_experiment("mnist_recipe").data.augment.model_dump_json()
    with pytest.raises(ConfigError, match="augment: expected null, all that this script"):
        load_experiment("custom_dense_mnist", f"data.augment={augment}")
