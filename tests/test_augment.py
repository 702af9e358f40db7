"""Augmentation means what the old `ImageDataGenerator` means, and depends on nothing but its seed.

The old class is `keras.src.legacy.preprocessing.image`; it needs SciPy.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing import image as old
from scipy import ndimage, stats

from epochlab.config import Section, dump_config, load_config
from epochlab.data.augment import AugmentConfig, augment_batch, draw_changes
from epochlab.data.warp import Changes, warp_images
from epochlab.errors import ConfigError

# The old class still takes the function from where SciPy once had it.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`")

NOTHING = AugmentConfig(
    rotation_range=0,
    width_shift_range=0,
    height_shift_range=0,
    shear_range=0,
    zoom_range=0,
    horizontal_flip=False,
    vertical_flip=False,
    fill_mode="nearest",
    cval=0,
    brightness_range=None,
    channel_shift_range=0,
)
EVERYTHING = NOTHING.model_copy(
    update={
        "rotation_range": 40.0,
        "width_shift_range": 0.2,
        "height_shift_range": 0.1,
        "shear_range": 15.0,
        "zoom_range": (0.7, 1.5),
        "horizontal_flip": True,
        "vertical_flip": True,
        "brightness_range": (0.5, 1.6),
        "channel_shift_range": 30.0,
    }
)
STILL = {name: 0.0 for name in Changes._fields} | {
    "row_zoom": 1.0,
    "column_zoom": 1.0,
    "brightness": 1.0,
    "flip_horizontal": False,
    "flip_vertical": False,
}


class Experiment(Section):
    augmentation: AugmentConfig


def change(**values: float) -> dict:
    return STILL | values


def warp(image: np.ndarray, fill_mode: str = "nearest", cval: float = 0, **values) -> np.ndarray:
    """Returns one image (height, width, channels) under the given changes."""
    changes = Changes(**{name: tf.constant([value]) for name, value in change(**values).items()})
    return warp_images(tf.constant(image[None]), changes, fill_mode, cval)[0].numpy()


def old_names(values: dict) -> dict:
    """Returns changes as the class calls them; what it calls tx and zx acts along the columns."""
    names = {
        "rotation": "theta",
        "column_shift": "tx",
        "row_shift": "ty",
        "column_zoom": "zx",
        "row_zoom": "zy",
        "channel_shift": "channel_shift_intensity",
    }
    return {names.get(name, name): value for name, value in values.items()}


def make_images(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Returns uint8 images with slopes, edges and noise, as photographs have them."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width][..., None] / max(height, width)
    phase = generator.uniform(0, 6, (count, 1, 1, channels))
    smooth = 110 + 70 * np.sin(5 * rows + phase) * np.cos(7 * columns - phase)
    edges = 40 * (rows > columns) + generator.uniform(-15, 15, (count, height, width, channels))
    return (smooth + edges).clip(0, 255).astype(np.uint8)


def augment(images: np.ndarray, indices, config=EVERYTHING, epoch=0, seed=1) -> np.ndarray:
    return augment_batch(tf.constant(images), tf.constant(indices), epoch, config, seed).numpy()


GIVEN = {
    "rotation": {"rotation": 33.0},
    "column shift": {"column_shift": 5.3},
    "row shift": {"row_shift": -7.6},
    "shear": {"shear": 21.0},
    "zoom": {"row_zoom": 0.7, "column_zoom": 1.4},
    "all": {
        "rotation": -25.0,
        "column_shift": 4.2,
        "row_shift": -6.7,
        "shear": 12.0,
        "row_zoom": 1.3,
        "column_zoom": 0.8,
    },
}


@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect"])
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_warp_is_the_old_classs_to_the_edge_and_beyond(given: dict, fill_mode: str):
    (image,) = make_images(1, 48, 48)
    parameters = old_names(given)
    expected = old.apply_affine_transform(
        image.astype(np.float32),
        **parameters,
        row_axis=0,
        col_axis=1,
        channel_axis=2,
        fill_mode=fill_mode,
        cval=77,
    )
    # float32 places a source to within 1e-5 pixels, and neighbours differ by up to 255.
    np.testing.assert_allclose(warp(image, fill_mode, 77, **given), expected, atol=5e-3)
    assert np.abs(expected - image).mean() > 5


def test_wrap_is_the_old_classs_inside_the_image():
    (image,) = make_images(1, 48, 48)
    parameters = old_names(GIVEN["all"])
    wrapped, outside = (
        old.apply_affine_transform(
            pixels, **parameters, row_axis=0, col_axis=1, channel_axis=2, fill_mode=mode, cval=-1
        )
        for pixels, mode in ((image.astype(np.float32), "wrap"), (image * 0.0, "constant"))
    )
    inside = outside == 0
    np.testing.assert_allclose(
        warp(image, "wrap", **GIVEN["all"])[inside], wrapped[inside], atol=5e-3
    )
    assert 0.5 < inside.mean() < 0.95


def test_wrap_joins_the_last_pixel_to_the_first():
    (image,) = make_images(1, 48, 48, channels=1)
    shifted = warp(image, "wrap", column_shift=17.3, row_shift=-60.4)
    # What SciPy calls `wrap` has a period of one pixel less.
    expected = ndimage.shift(image[..., 0] * 1.0, (60.4, -17.3), order=1, mode="grid-wrap")
    np.testing.assert_allclose(shifted[..., 0], expected, atol=5e-3)


@pytest.mark.parametrize(
    ("fill_mode", "expected", "by_the_old_class"),
    [
        ("nearest", [30, 40, 40, 40], [30, 40, 40, 40]),
        ("constant", [30, 40, 9, 9], [30, 40, 9, 9]),
        ("reflect", [30, 40, 40, 30], [30, 40, 40, 30]),
        # SciPy's period is three for four pixels.
        ("wrap", [30, 40, 10, 20], [30, 40, 20, 30]),
    ],
)
def test_fill_modes_below_a_column_of_four_pixels(fill_mode, expected, by_the_old_class):
    column = np.array([10, 20, 30, 40], np.uint8).reshape(4, 1, 1)
    assert warp(column, fill_mode, 9, row_shift=2.0).ravel().tolist() == expected
    square = np.repeat(column.astype(np.float32), 4, axis=1)
    theirs = old.apply_affine_transform(
        square, ty=2, row_axis=0, col_axis=1, channel_axis=2, fill_mode=fill_mode, cval=9
    )
    assert theirs[:, 0, 0].tolist() == by_the_old_class


def test_constant_begins_right_beyond_the_last_pixel():
    row = np.array([10, 20, 40], np.uint8).reshape(1, 3, 1)
    assert warp(row, "constant", 200, column_shift=0.5).ravel().tolist() == [15, 30, 200]


def test_flips_are_exact():
    (image,) = make_images(1, 7, 10)
    assert np.array_equal(warp(image, flip_horizontal=True), image[:, ::-1])
    assert np.array_equal(warp(image, flip_vertical=True), image[::-1])
    assert np.array_equal(warp(image, flip_horizontal=True, flip_vertical=True), image[::-1, ::-1])


def test_an_image_that_is_not_square_turns_about_its_own_centre():
    (image,) = make_images(1, 7, 10)
    np.testing.assert_allclose(warp(image, rotation=180.0), image[::-1, ::-1], atol=1e-2)


def test_height_shift_moves_rows_though_the_old_class_moves_columns():
    image = np.zeros((9, 9, 1), np.uint8)
    image[4] = 200  # One bright row: moving columns changes nothing.
    config = NOTHING.model_copy(update={"height_shift_range": 3})
    moved = augment(image[None].repeat(20, axis=0), np.arange(20), config)
    assert {int(row) for row in moved[..., 0].argmax(axis=1)[:, 0]} == {2, 3, 4, 5, 6}
    generator = old.ImageDataGenerator(height_shift_range=3)
    theirs = [generator.random_transform(image.astype(np.float32), seed) for seed in range(20)]
    assert all(np.array_equal(moved, image) for moved in theirs)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect"])
def test_whole_augmentation_is_the_old_classs_for_the_same_changes(fill_mode: str):
    config = EVERYTHING.model_copy(
        update={"fill_mode": fill_mode, "cval": 55.0, "brightness_range": None}
    )
    images, expected = old_augmentation(config)
    np.testing.assert_allclose(augment(images, np.arange(16), config), expected, atol=5e-3)


def test_brightness_on_top_is_the_old_classs_but_for_values_next_to_a_whole_number():
    images, expected = old_augmentation(EVERYTHING)
    ours = augment(images, np.arange(16))
    # Both cut off fractions: 99.99999 and 100.00001 end one level apart, times at most 1.6.
    assert np.abs(ours - expected).max() <= 2
    assert (ours == expected).mean() > 0.999


def old_augmentation(config: AugmentConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns 16 images, and what the class makes of them with our changes of epoch 0, seed 1."""
    images = make_images(16, 40, 40)
    changes = draw_changes(tf.range(16), 0, config, 1, 40, 40)
    generator = old.ImageDataGenerator(fill_mode=config.fill_mode, cval=config.cval)
    expected = []
    for position, image in enumerate(images):
        values = {name: value[position].numpy() for name, value in changes._asdict().items()}
        if config.brightness_range is None:
            values["brightness"] = None
        expected.append(generator.apply_transform(image.astype(np.float32), old_names(values)))
    return images, np.stack(expected)


def test_brightness_cuts_off_fractions_and_stops_at_255():
    image = np.array([0, 101, 255, 180], np.uint8).reshape(1, 1, 4, 1)
    for factor, expected in ((0.5, [0, 50, 127, 90]), (1.5, [0, 151, 255, 255])):
        config = NOTHING.model_copy(update={"brightness_range": (factor, factor)})
        assert augment(image, [0], config).ravel().tolist() == expected


def test_channel_shift_adds_one_amount_and_keeps_the_images_own_range():
    config = NOTHING.model_copy(update={"channel_shift_range": 100.0})
    image = np.array([[20, 120, 220]], np.uint8).reshape(1, 1, 1, 3)
    shifted = augment(image.repeat(30, axis=0), np.arange(30), config)[:, 0, 0]
    amounts = draw_changes(tf.range(30), 0, config, 1, 1, 1).channel_shift.numpy()
    expected = (image[:, 0, 0] + amounts[:, None]).clip(20, 220)
    np.testing.assert_allclose(shifted, expected, atol=1e-4)
    assert amounts.min() < -50 and amounts.max() > 50


def test_no_change_returns_the_images_to_the_bit():
    images = make_images(5, 31, 45)
    unchanged = augment(images, np.arange(5), NOTHING)
    assert unchanged.dtype == np.float32
    assert np.array_equal(unchanged, images)


COUNT = 10_000


def draw(config: AugmentConfig, epoch: int = 0, seed: int = 1) -> dict[str, np.ndarray]:
    """Returns 10,000 draws for images of 100 x 200 pixels."""
    indices = tf.range(COUNT)
    changes = tf.function(lambda: draw_changes(indices, epoch, config, seed, 100, 200))()
    return {name: value.numpy() for name, value in changes._asdict().items()}


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    return draw(EVERYTHING)


@pytest.fixture(scope="module")
def drawn_by_the_old_class() -> dict[str, np.ndarray]:
    ranges = EVERYTHING.model_dump(exclude={"fill_mode", "cval"})
    generator = old.ImageDataGenerator(**ranges)
    np.random.seed(1)
    draws = [generator.get_random_transform((100, 200, 3)) for _ in range(COUNT)]
    return {name: np.array([values[name] for values in draws]) for name in draws[0]}


@pytest.mark.parametrize(
    ("name", "old_name", "low", "high"),
    [
        ("rotation", "theta", -40, 40),
        # As drawn; the class then applies tx, a share of the height, to the columns.
        ("row_shift", "tx", -10, 10),
        ("column_shift", "ty", -40, 40),
        ("shear", "shear", -15, 15),
        ("row_zoom", "zx", 0.7, 1.5),
        ("column_zoom", "zy", 0.7, 1.5),
        ("channel_shift", "channel_shift_intensity", -30, 30),
        ("brightness", "brightness", 0.5, 1.6),
    ],
)
def test_draws_are_distributed_as_the_old_classs(
    drawn, drawn_by_the_old_class, name, old_name, low, high
):
    ours, theirs = drawn[name], drawn_by_the_old_class[old_name]
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert low <= ours.min() < low + (high - low) / 500
    assert high - (high - low) / 500 < ours.max() <= high
    # Four standard errors of the mean of a uniform distribution.
    assert abs(ours.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * COUNT)
    assert ours.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.02)


def split_mix(state: int, count: int) -> list[int]:
    """Returns the first numbers of SplitMix64 in Python's own integers."""
    numbers = []
    for step in range(1, count + 1):
        number = (state + step * 0x9E3779B97F4A7C15) % 2**64
        number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(number ^ (number >> 31))
    return numbers


def test_draws_are_split_mixs_numbers_in_their_places():
    # Published numbers, so that the reference is one.
    assert split_mix(1234567, 2) == [6457827717110365317, 3203168211198807973]
    seed, epoch, index = 2**31 - 1, 2**30, 2**32 - 1
    config = NOTHING.model_copy(update={"brightness_range": (0.0, 1.0), "rotation_range": 1.0})
    changes = draw_changes(tf.constant([index]), epoch, config, seed, 9, 9)
    # `mix` is a step from one increment before.
    increment = 0x9E3779B97F4A7C15
    (mixed_seed,) = split_mix(seed - increment, 1)
    (start,) = split_mix(mixed_seed + (epoch * 2**32 + index - 1) * increment, 1)
    uniform = [(number >> 40) / 2**24 for number in split_mix(start, 10)]
    assert changes.brightness.numpy() == uniform[9]
    assert changes.rotation.numpy() == 2 * uniform[0] - 1


def test_half_of_the_images_are_flipped_each_way(drawn, drawn_by_the_old_class):
    for name in ("flip_horizontal", "flip_vertical"):
        # Four standard errors of a share of one half.
        assert abs(drawn[name].mean() - 0.5) < 0.02
        assert abs(drawn_by_the_old_class[name].mean() - 0.5) < 0.02


def test_a_whole_number_shifts_by_whole_pixels_as_in_the_old_class():
    ours = draw(NOTHING.model_copy(update={"width_shift_range": 4}))["column_shift"]
    generator = old.ImageDataGenerator(width_shift_range=4)
    np.random.seed(1)
    theirs = [generator.get_random_transform((100, 200, 3))["ty"] for _ in range(COUNT)]
    for shifts in (ours, np.array(theirs)):
        values, counts = np.unique(shifts, return_counts=True)
        assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
        shares = [1 / 8, 1 / 8, 1 / 8, 1 / 4, 1 / 8, 1 / 8, 1 / 8]
        np.testing.assert_allclose(counts / COUNT, shares, atol=0.02)


def test_a_shift_with_a_point_from_1_on_is_pixels():
    shifts = draw(NOTHING.model_copy(update={"width_shift_range": 4.0}))["column_shift"]
    assert 3.99 < shifts.max() < 4
    assert len(np.unique(shifts)) > 9000


def test_a_single_zoom_reaches_as_far_down_as_up():
    zooms = draw(NOTHING.model_copy(update={"zoom_range": 0.2}))["row_zoom"]
    assert (zooms.min(), zooms.max()) == pytest.approx((0.8, 1.2), abs=1e-3)


def test_draws_of_an_image_its_neighbour_other_epochs_and_seeds_are_unrelated(drawn):
    later, other = draw(EVERYTHING, epoch=1), draw(EVERYTHING, seed=2)
    rows = [values[name] for values in (drawn, later, other) for name in Changes._fields]
    rows += [np.roll(drawn[name], 1) for name in Changes._fields]
    correlations = np.corrcoef(np.array(rows, float))
    np.fill_diagonal(correlations, 0)
    # Five standard errors: 780 pairs.
    assert np.abs(correlations).max() < 5 / np.sqrt(COUNT)


def test_one_range_leaves_the_other_draws_alone(drawn):
    narrower = draw(EVERYTHING.model_copy(update={"rotation_range": 0.0, "zoom_range": 0.0}))
    assert np.array_equal(narrower["shear"], drawn["shear"])
    assert np.array_equal(narrower["brightness"], drawn["brightness"])


def test_neither_company_nor_order_in_the_batch_changes_an_image():
    # An odd size, so that every image begins elsewhere in a vector register.
    images, indices = make_images(7, 11, 13), np.arange(100, 107)
    together = augment(images, indices)
    alone = [augment(images[[place]], indices[[place]])[0] for place in range(7)]
    assert np.array_equal(together, alone)
    assert np.array_equal(augment(images[::-1], indices[::-1])[::-1], together)


def test_place_in_the_batch_does_not_change_an_image():
    # Noise, so that the last bit of a matrix shows.
    images = np.random.default_rng(0).integers(0, 256, (61, 40, 41, 1), np.uint8)
    indices = np.arange(61)
    together = augment(images, indices)
    alone = [augment(images[[place]], indices[[place]])[0] for place in range(61)]
    assert np.array_equal(together, alone)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(150, 150, 3), (17, 31, 1)])
def test_size_of_the_batch_does_not_change_an_image(shape: tuple[int, int, int]):
    images = np.random.default_rng(0).integers(0, 256, (33, *shape), np.uint8)
    indices = np.arange(100, 133)
    together = augment(images, indices)
    # Around the widths of vector registers, where kernels treat what is left over otherwise.
    for size, first in [(1, 0), (2, 5), (3, 0), (4, 5), (7, 0), (8, 5), (9, 0), (15, 5), (17, 0)]:
        chosen = (np.arange(size) + first) % 33
        assert np.array_equal(augment(images[chosen], indices[chosen]), together[chosen])


def test_epoch_seed_and_index_each_change_every_image():
    images, indices = make_images(6, 20, 20), np.arange(6)
    first = augment(images, indices)
    for changed in (
        augment(images, indices, epoch=1),
        augment(images, indices, seed=2),
        augment(images, indices + 6),
    ):
        assert (changed != first).any(axis=(1, 2, 3)).all()


def test_a_grey_image_changes_as_each_channel_of_a_coloured_one():
    config = EVERYTHING.model_copy(update={"channel_shift_range": 0.0})
    grey = make_images(6, 14, 10, channels=1)
    changed = augment(grey, range(6), config)
    assert changed.shape == (6, 14, 10, 1)
    coloured = augment(np.repeat(grey, 3, axis=-1), range(6), config)
    np.testing.assert_allclose(np.repeat(changed, 3, axis=-1), coloured, atol=1e-3)
    assert np.abs(changed - grey).max() > 20


def test_epoch_may_be_given_image_by_image():
    images = make_images(1, 20, 20).repeat(4, axis=0)
    by_epoch = augment(images, [3, 3, 3, 3], epoch=tf.range(4, dtype=tf.int64))
    assert np.array_equal(by_epoch[2:3], augment(images[:1], [3], epoch=2))


@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
def test_pipeline_gives_what_the_direct_call_gives(fill_mode: str):
    config = EVERYTHING.model_copy(update={"fill_mode": fill_mode})
    images = make_images(7, 20, 30)
    # A known batch size, as `drop_remainder` gives: the graph optimizer then does more.
    epochs = tf.data.Dataset.range(2).map(
        lambda epoch: augment_batch(tf.constant(images), tf.range(7), epoch, config, 1)
    )
    direct = [augment(images, np.arange(7), config, epoch) for epoch in range(2)]
    assert np.array_equal(list(epochs), direct)


PIPELINE = """
import hashlib, sys
import numpy as np
import tensorflow as tf
from epochlab.data.augment import AugmentConfig, augment_batch

threads, config, images = int(sys.argv[1]), sys.argv[2], np.load(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
tf.config.experimental.enable_op_determinism()
config = AugmentConfig.model_validate_json(config)
images = tf.constant(images)
batches = tf.data.Dataset.range(len(images)).batch(10).map(
    lambda indices: augment_batch(tf.gather(images, indices), indices, 3, config, 1),
    num_parallel_calls=threads,
)
print(hashlib.sha256(np.concatenate(list(batches)).tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_pipeline_on_1_or_2_threads_is_the_direct_call_to_the_bit(tmp_path: Path, threads: int):
    images = make_images(25, 63, 65)
    path = tmp_path / "images.npy"
    np.save(path, images)
    finished = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(threads), EVERYTHING.model_dump_json(), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    direct = augment(images, np.arange(25), epoch=3)
    assert finished.stdout.strip() == hashlib.sha256(direct.tobytes()).hexdigest()


def load(tmp_path: Path, *overrides: str) -> AugmentConfig:
    path = tmp_path / "experiment.yaml"
    path.write_text(dump_config(Experiment(augmentation=EVERYTHING)))
    keys = [f"augmentation.{override}" for override in overrides]
    return load_config(Experiment, path, keys).config.augmentation


def test_config_survives_its_own_yaml(tmp_path: Path):
    assert load(tmp_path) == EVERYTHING


def test_a_shift_keeps_whether_it_is_whole_pixels(tmp_path: Path):
    config = load(tmp_path, "width_shift_range=5", "height_shift_range=5.0")
    assert type(config.width_shift_range) is int
    assert type(config.height_shift_range) is float


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rotation_range=-1", "of at least 0"),
        ("shear_range=90", "below 90"),
        ("width_shift_range=-0.2", "a share of the image such as 0.2, or whole pixels such as 5"),
        ("height_shift_range=[1, 2]", "a share of the image such as 0.2, or whole pixels"),
        ("zoom_range=1.5", "a number from 0 to below 1, or [low, high] with 0 < low <= high"),
        (
            "zoom_range=[1.2, 0.8]",
            "a number from 0 to below 1, or [low, high] with 0 < low <= high",
        ),
        ("zoom_range=[0, 1]", "a number from 0 to below 1, or [low, high] with 0 < low <= high"),
        ("brightness_range=0.5", "[low, high] with 0 <= low <= high, or null"),
        ("brightness_range=[1.5, 0.5]", "[low, high] with 0 <= low <= high, or null"),
        ("fill_mode=mirror", "nearest, constant, reflect or wrap"),
        ("cval=256", "of at most 255"),
        ("channel_shift_range=-1", "of at least 0"),
    ],
)
def test_a_value_out_of_range_gets_one_message_with_its_key(tmp_path, override, expected):
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, override)
    (line,) = str(raised.value).splitlines()
    assert override.partition("=")[0] in line
    assert expected in line


def test_every_key_must_be_given():
    assert all(field.is_required() for field in AugmentConfig.model_fields.values())
