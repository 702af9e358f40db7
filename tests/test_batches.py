"""The order of the data is a pure function of seed and epoch."""

import numpy as np
import pytest

from epochlab.data.batches import count_steps, evaluation_batches, training_batches
from epochlab.data.images import Split
from epochlab.training import choose_steps_per_execution

COUNT = 23


@pytest.fixture
def numbered() -> Split:
    """23 images whose only pixel is their position."""
    positions = np.arange(COUNT)
    return Split(
        positions.astype(np.uint8).reshape(-1, 1, 1, 1),
        positions.astype(np.int32),
        tuple(map(str, positions)),
    )


def epoch_orders(split: Split, epochs: int, *, seed: int = 1, first_epoch: int = 0):
    batches = iter(training_batches(split, batch_size=5, seed=seed, first_epoch=first_epoch))
    steps = count_steps(len(split), 5)
    return [[int(label) for _ in range(steps) for label in next(batches)[1]] for _ in range(epochs)]


def test_every_epoch_holds_every_image_once_in_an_order_of_its_own(numbered: Split):
    orders = epoch_orders(numbered, 3)
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_start_at_a_later_epoch_gives_that_epochs_order(numbered: Split):
    assert epoch_orders(numbered, 2, first_epoch=3) == epoch_orders(numbered, 5)[3:]


def test_other_seed_gives_another_order(numbered: Split):
    assert epoch_orders(numbered, 1) != epoch_orders(numbered, 1, seed=2)


def test_images_stay_with_their_labels_and_stay_uint8(numbered: Split):
    images, labels = next(iter(training_batches(numbered, batch_size=8, seed=1)))
    assert images.dtype.name == "uint8"
    assert np.array_equal(np.asarray(images).ravel(), np.asarray(labels))


def test_last_batch_of_an_epoch_takes_what_is_left(numbered: Split):
    batches = iter(training_batches(numbered, batch_size=5, seed=1))
    assert [len(next(batches)[1]) for _ in range(6)] == [5, 5, 5, 5, 3, 5]


def test_evaluation_goes_through_the_images_once_in_order(numbered: Split):
    labels = np.concatenate([labels for _, labels in evaluation_batches(numbered)])
    assert labels.tolist() == list(range(COUNT))


@pytest.mark.parametrize(
    ("steps", "expected"), [(375, 25), (329, 47), (938, 14), (100, 50), (13, 13), (313, 1), (1, 1)]
)
def test_steps_per_execution_divide_the_epoch(steps: int, expected: int):
    assert choose_steps_per_execution(steps) == expected
