"""The order of the data is a pure function of seed and epoch."""

import numpy as np
import pytest

from epochlab.data.augment import AugmentConfig
from epochlab.data.batches import (
    count_images,
    count_steps,
    data_errors,
    evaluation_batches,
    training_batches,
)
from epochlab.data.images import Split, StoredImages
from epochlab.errors import DataError
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
    steps = count_steps(len(split), 5)
    batches = iter(training_batches(split, batch_size=5, seed=seed, first_step=first_epoch * steps))
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


def test_start_within_a_pass_goes_on_where_it_was(numbered: Split):
    steps = count_steps(COUNT, 5)
    whole = iter(training_batches(numbered, batch_size=5, seed=1))
    expected = [next(whole)[1].numpy().tolist() for _ in range(3 * steps)]
    for first_step in (1, steps - 1, steps, 2 * steps + 3):
        late = iter(training_batches(numbered, batch_size=5, seed=1, first_step=first_step))
        assert [next(late)[1].numpy().tolist() for _ in range(3 * steps - first_step)] == (
            expected[first_step:]
        )


@pytest.mark.parametrize(("steps", "images"), [(1, 5), (4, 20), (5, 23), (6, 28), (13, 61)])
def test_images_in_a_number_of_steps(steps: int, images: int):
    assert count_images(COUNT, 5, steps) == images


def test_images_on_disk_come_as_those_in_memory_do(numbered: Split):
    positions = np.arange(COUNT)[::-1]
    backwards = numbered.images[::-1]
    stored = StoredImages(backwards.__getitem__, positions, (1, 1, 1), "id")
    on_disk = Split(stored, numbered.labels, numbered.names)
    for images, labels in training_batches(on_disk, batch_size=5, seed=1).take(12):
        assert images.dtype.name == "uint8"
        assert np.array_equal(np.asarray(images).ravel(), np.asarray(labels))
    taken = on_disk.take(np.array([7, 2]))
    assert taken.images[:].ravel().tolist() == taken.labels.tolist() == [7, 2]
    assert len(taken.images) == 2


def test_augmentation_depends_on_the_pass_and_not_on_where_the_run_began():
    images = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 3), np.uint8)
    split = Split(images, np.arange(7, dtype=np.int32), tuple("abcdefg"))
    augment = AugmentConfig(
        rotation_range=40, width_shift_range=0.2, height_shift_range=0.2, shear_range=0.2,
        zoom_range=0.2, horizontal_flip=True, vertical_flip=False, fill_mode="nearest", cval=0,
        brightness_range=None, channel_shift_range=0,
    )  # fmt: skip

    def batches(first_step: int) -> list[np.ndarray]:
        dataset = training_batches(
            split, batch_size=3, seed=5, first_step=first_step, augment=augment
        )
        return [images.numpy() for images, _ in dataset.take(9 - first_step)]

    whole = batches(0)
    assert whole[0].dtype == np.float32
    for first_step in (2, 3, 7):
        for late, expected in zip(batches(first_step), whole[first_step:], strict=True):
            assert np.array_equal(late, expected)
    assert not np.array_equal(np.sort(whole[0], axis=0), np.sort(whole[3], axis=0))


def test_a_file_that_changes_during_training_is_a_data_error(numbered: Split):
    def read(positions: np.ndarray) -> np.ndarray:
        raise DataError("a.jpg: has changed")

    stored = StoredImages(read, np.arange(COUNT), (1, 1, 1), "id")
    split = Split(stored, numbered.labels, numbered.names)
    with pytest.raises(DataError, match=r"a\.jpg: has changed"), data_errors(split):
        next(iter(training_batches(split, batch_size=5, seed=1)))


def test_large_images_are_scored_in_smaller_batches():
    images = np.zeros((60, 150, 150, 1), np.uint8)
    split = Split(images, np.zeros(60, np.int32), tuple(map(str, range(60))))
    assert [len(labels) for _, labels in evaluation_batches(split)] == [46, 14]


def test_evaluation_goes_through_the_images_once_in_order(numbered: Split):
    labels = np.concatenate([labels for _, labels in evaluation_batches(numbered)])
    assert labels.tolist() == list(range(COUNT))


@pytest.mark.parametrize(
    ("steps", "expected"), [(375, 25), (329, 47), (938, 14), (100, 50), (13, 13), (313, 1), (1, 1)]
)
def test_steps_per_execution_divide_the_epoch(steps: int, expected: int):
    assert choose_steps_per_execution(steps, 28 * 28 * 128) == expected


def test_few_steps_of_large_images_run_per_execution():
    assert choose_steps_per_execution(100, 150 * 150 * 20) == 10
    assert choose_steps_per_execution(100, 1000 * 1000 * 32) == 1
