"""History rows, and the decisions that follow from them alone."""

import csv
import io

from epochlab.history import (
    Epoch,
    find_best_epoch,
    find_overfitting,
    format_history,
    should_stop,
)


def rows(*val_losses: float | None) -> list[Epoch]:
    return [
        Epoch(number, 0.5, 0.75, val_loss, None if val_loss is None else 0.8, 0.001, 1.5)
        for number, val_loss in enumerate(val_losses, 1)
    ]


def test_csv_has_the_contracts_columns_and_reads_back_exactly():
    row = Epoch(1, 1 / 3, 0.1, 2 / 3, 0.2, 1e-7, 12.345)
    read = list(csv.DictReader(io.StringIO(format_history([row]))))
    assert list(read[0]) == [
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds",
    ]  # fmt: skip
    assert [float(value) for value in read[0].values()] == [1, 1 / 3, 0.1, 2 / 3, 0.2, 1e-7, 12.345]


def test_csv_leaves_validation_empty_where_there_is_none():
    assert format_history(rows(None)).splitlines()[1] == "1,0.5,0.75,,,0.001,1.5"


def test_best_epoch_is_the_first_of_the_lowest_validation_losses():
    assert find_best_epoch(rows(0.5, 0.3, 0.4, 0.3)) == 2


def test_best_epoch_passes_over_losses_that_are_not_finite():
    assert find_best_epoch(rows(float("nan"), 0.3)) == 2


def test_no_best_epoch_without_validation():
    assert find_best_epoch(rows(None, None)) is None


def test_stops_after_patience_epochs_without_improvement():
    losses = (0.5, 0.4, 0.41, 0.42, 0.43)
    stops = [should_stop(rows(*losses[:count]), 3, 0.0) for count in range(1, 6)]
    assert stops == [False, False, False, False, True]


def test_improvement_below_min_delta_does_not_count():
    assert should_stop(rows(0.5, 0.499, 0.498), patience=2, min_delta=0.01)
    assert not should_stop(rows(0.5, 0.499, 0.498), patience=2, min_delta=0.0)


def learning(losses: list[float], val_losses: list[float]) -> list[Epoch]:
    return [
        Epoch(number, loss, 0.75, val_loss, 0.8, 0.001, 1.5)
        for number, (loss, val_loss) in enumerate(zip(losses, val_losses, strict=True), 1)
    ]


def test_overfitting_begins_where_the_validation_loss_stays_above_its_best():
    losses = [0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert find_overfitting(learning(losses, [0.9, 0.7, 0.6, 0.65, 0.75, 0.85, 0.95])) == 5


def test_a_loss_that_only_flutters_is_no_overfitting():
    losses = [0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert find_overfitting(learning(losses, [0.9, 0.6, 0.62, 0.59, 0.61, 0.6, 0.62])) is None


def test_a_network_that_has_stopped_learning_does_not_overfit():
    losses = [0.742, 0.7, 0.694, 0.6932, 0.6931, 0.6931, 0.6931]
    val_losses = [0.692, 0.6931, 0.6932, 0.6932, 0.6932, 0.6932, 0.6932]
    assert find_overfitting(learning(losses, val_losses)) is None


def test_two_bad_epochs_at_the_end_are_no_overfitting_yet():
    assert find_overfitting(learning([0.9, 0.5, 0.3, 0.2], [0.9, 0.5, 0.9, 0.95])) is None


def test_without_a_falling_training_loss_there_is_no_overfitting():
    losses = [0.5, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert find_overfitting(learning(losses, [0.5, 0.4, 0.6, 0.8, 1.0, 1.2])) is None


def test_no_overfitting_without_validation():
    assert find_overfitting(rows(None, None, None, None)) is None
