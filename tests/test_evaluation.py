"""Scores by hand."""

import csv
import io

import keras
import numpy as np
import pytest

from epochlab.data.images import Split
from epochlab.evaluation import (
    Evaluation,
    evaluate,
    find_mistakes,
    format_predictions,
    to_probabilities,
)


@pytest.fixture
def scored() -> Evaluation:
    """Five images: three right; image 2 is wrong with 0.9, image 4 wrong with 0.6."""
    probabilities = [
        [0.8, 0.1, 0.1],
        [0.2, 0.5, 0.3],
        [0.9, 0.05, 0.05],
        [0.1, 0.1, 0.8],
        [0.2, 0.2, 0.6],
    ]
    return Evaluation(np.array(probabilities), np.array([0, 1, 1, 2, 0], np.int32))


def test_one_sigmoid_gives_the_probabilities_of_both_classes():
    probabilities = to_probabilities(np.array([[0.25], [0.875]], np.float32))
    assert probabilities.tolist() == [[0.75, 0.25], [0.125, 0.875]]


def test_sigmoid_model_scores_like_a_softmax_over_its_logit_and_zero():
    logits = np.array([-2.0, 0.5, 3.0])
    labels = np.array([0, 0, 1], np.int32)
    sigmoid = Evaluation(to_probabilities(1 / (1 + np.exp(-logits))[:, None]), labels)
    pairs = np.stack([np.zeros(3), logits], axis=1)
    softmax = Evaluation(to_probabilities(pairs, from_logits=True), labels)
    assert sigmoid.loss == pytest.approx(softmax.loss)
    assert sigmoid.accuracy == softmax.accuracy == 2 / 3
    assert sigmoid.confusion.tolist() == [[1, 1], [0, 1]]


def test_confusion_has_truth_in_rows_and_prediction_in_columns(scored: Evaluation):
    assert scored.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 1]]


def test_accuracy_and_loss(scored: Evaluation):
    assert scored.accuracy == 3 / 5
    assert scored.loss == pytest.approx(-np.log([0.8, 0.5, 0.05, 0.8, 0.2]).mean())


def test_class_accuracy_is_none_for_a_class_without_images():
    evaluation = Evaluation(np.eye(3)[[0, 0, 1]], np.array([0, 0, 0], np.int32))
    assert evaluation.class_accuracy == [2 / 3, None, None]


def test_mistakes_come_most_confident_first(scored: Evaluation):
    assert find_mistakes(scored).tolist() == [2, 4]


def test_predictions_csv(scored: Evaluation):
    split = Split(np.zeros((5, 1, 1, 1), np.uint8), scored.labels, ("a", "b,c", "d", "e", "f"))
    rows = list(csv.reader(io.StringIO(format_predictions(scored, split, ("cat", "dog", "owl")))))
    assert rows[0] == ["image", "truth", "prediction", "probability"]
    assert rows[2] == ["b,c", "dog", "dog", "0.500000"]
    assert rows[3] == ["d", "dog", "cat", "0.900000"]


@pytest.mark.parametrize("from_logits", [False, True])
def test_scores_equal_those_of_keras_on_a_ragged_number_of_images(from_logits: bool):
    generator = np.random.default_rng(0)
    split = Split(
        generator.integers(0, 256, (1_203, 4, 4, 1), dtype=np.uint8),
        generator.integers(0, 3, 1_203, dtype=np.int32),
        tuple(map(str, range(1_203))),
    )
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation=None if from_logits else "softmax"),
        ]
    )
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        metrics=["accuracy"],
    )
    loss, accuracy = model.evaluate(split.images, split.labels, verbose=0)
    evaluation = evaluate(model, split, from_logits=from_logits)
    assert evaluation.loss == pytest.approx(loss, abs=1e-5)
    assert evaluation.accuracy == pytest.approx(accuracy, abs=1e-6)
