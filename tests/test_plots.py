"""Pictures: what is in the file, and what a failure leaves behind."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochlab.errors import EnvironmentFault
from epochlab.figures import figure_file
from epochlab.model_picture import draw_model, find_drawing_program
from epochlab.plots import plot_augmentation, plot_confusion, plot_curve, plot_mistakes

PROVENANCE = {"run": "lenet_mnist/20250101-seed1", "note": "größer → 日"}
BLUE = (0, 114, 178)
VERMILION = (213, 94, 0)


def draw_curve(path, training, validation=None, best_epoch=None, **options):
    options = {"metric": "loss", "title": "t", "provenance": PROVENANCE, **options}
    plot_curve(path, training=training, validation=validation, best_epoch=best_epoch, **options)
    return path


def draw_every_kind(folder: Path) -> list[Path]:
    folder.mkdir()
    draw_curve(folder / "curve.png", [0.5, 0.3, 0.2], [0.6, 0.4, 0.5], 2)
    confusion = np.array([[8, 2], [1, 9]])
    plot_confusion(
        folder / "confusion.png", confusion, ["cat", "dog"], title="t", provenance=PROVENANCE
    )
    images = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    plot_mistakes(
        folder / "mistakes.png", images, ["cat as dog", "b"], title="t", provenance=PROVENANCE
    )
    return sorted(folder.iterdir())


def draw_mistakes(path: Path, count: int) -> Path:
    images = np.full((count, 8, 8, 1), 200, np.uint8)
    plot_mistakes(path, images, ["7 as 1"] * count, title="t", provenance={})
    return path


def find_pixels(path: Path, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows and columns of the pixels of exactly `color`."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return np.nonzero((pixels == color).all(axis=-1))


def plot_region(path: Path, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns as `find_pixels` what lies below the title and legend of a curve."""
    rows, columns = find_pixels(path, color)
    return rows[rows > 75], columns[rows > 75]


def read_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_every_picture_carries_its_provenance_and_nothing_else(tmp_path):
    for path in draw_every_kind(tmp_path / "a"):
        with Image.open(path) as picture:
            assert picture.text == PROVENANCE, path


def test_same_data_gives_the_same_bytes(tmp_path):
    first, second = draw_every_kind(tmp_path / "a"), draw_every_kind(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_users_matplotlib_settings_are_ignored(tmp_path):
    import matplotlib

    plain = draw_curve(tmp_path / "plain.png", [0.5, 0.3]).read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "font.size": 20}):
        styled = draw_curve(tmp_path / "styled.png", [0.5, 0.3]).read_bytes()
    assert styled == plain


def test_a_failure_while_drawing_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "curve.png"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), figure_file(path, (2, 2), {}):
        _ = 1 / 0
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"curve.png": b"old"}


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "curve.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(EnvironmentFault):
        draw_curve(path, [0.5, 0.3])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"curve.png": b"old"}


def test_training_and_validation_are_drawn_in_their_colors(tmp_path):
    path = draw_curve(tmp_path / "curve.png", [0.5, 0.3], [0.2, 0.1])
    training, validation = plot_region(path, BLUE)[0], plot_region(path, VERMILION)[0]
    assert training.max() < validation.min(), "the higher loss stands higher in the picture"


@pytest.mark.parametrize(
    ("metric", "one", "other"),
    [
        ("accuracy", [0.93, 0.97, 0.99], [0.91, 0.98, 0.984]),
        ("loss", [0.35, 0.2, 0.1], [0.47, 0.1, 0.02]),
    ],
)
def test_similar_runs_have_the_same_scale(tmp_path, metric, one, other):
    pictures = []
    for name, values in (("one", one), ("other", other)):
        with Image.open(draw_curve(tmp_path / f"{name}.png", values, metric=metric)) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    axis = slice(60, 480), slice(0, 60)
    assert (pictures[0][axis] == pictures[1][axis]).all()
    assert (pictures[0] != pictures[1]).any()


def test_overfitting_is_shaded_from_its_epoch_on(tmp_path):
    values = [0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.3, 0.5, 0.6, 0.7], 2
    plain = draw_curve(tmp_path / "plain.png", *values)
    path = draw_curve(tmp_path / "curve.png", *values, overfitting=3)
    shaded = [
        np.flatnonzero(np.bincount(plot_region(picture, (241, 241, 241))[1]) > 100)
        for picture in (plain, path)
    ]
    assert len(shaded[0]) == 0
    line = plot_region(path, VERMILION)[1]
    # From epochs 1 to 5 drawn, the shade begins at 2.5.
    assert shaded[1].min() == pytest.approx(line.min() + 0.375 * np.ptp(line), abs=12)


def test_one_epoch_shows_as_a_point(tmp_path):
    rows, columns = plot_region(draw_curve(tmp_path / "curve.png", [0.5]), BLUE)
    assert len(rows) > 10
    assert np.ptp(columns) < 15


def test_not_a_number_is_a_gap(tmp_path):
    gap = draw_curve(tmp_path / "gap.png", [0.4] * 8 + [np.nan] * 4 + [0.4] * 8)
    whole = draw_curve(tmp_path / "whole.png", [0.4] * 20)
    assert np.diff(np.unique(plot_region(gap, BLUE)[1])).max() > 150
    assert np.diff(np.unique(plot_region(whole, BLUE)[1])).max() < 50


def test_an_epoch_between_two_gaps_shows_as_a_point(tmp_path):
    path = draw_curve(tmp_path / "curve.png", [np.nan] * 9 + [0.4] + [np.nan] * 10)
    assert len(plot_region(path, BLUE)[0]) > 10


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_curve_without_any_finite_value_is_drawn(tmp_path, value):
    path = draw_curve(tmp_path / "curve.png", [value] * 3, best_epoch=2)
    assert len(plot_region(path, BLUE)[0]) == 0


def test_a_wild_first_epoch_does_not_flatten_the_others(tmp_path):
    path = draw_curve(tmp_path / "curve.png", [900.0, *np.linspace(1, 0.1, 29)])
    rows, columns = plot_region(path, BLUE)
    line = rows[columns > columns.min() + 40]
    assert np.ptp(line) > 300


def test_a_best_epoch_off_the_scale_leaves_the_layout_alone(tmp_path):
    values = [900.0, *np.linspace(1, 0.1, 29)]
    plain = draw_curve(tmp_path / "plain.png", values)
    best = draw_curve(tmp_path / "best.png", values, best_epoch=1)
    rows = [plot_region(path, BLUE)[0].max() for path in (plain, best)]
    assert rows[0] == rows[1]


def test_a_wild_epoch_later_on_stays_on_the_scale(tmp_path):
    path = draw_curve(tmp_path / "curve.png", [0.2] * 10 + [900.0] + [0.2] * 10)
    rows, _ = plot_region(path, BLUE)
    assert np.ptp(rows) > 300


def test_a_phase_border_is_a_line_before_its_first_epoch(tmp_path):
    grey = (102, 102, 102)
    plain = draw_curve(tmp_path / "plain.png", [0.4] * 20, phase_starts=[1])
    phased = draw_curve(tmp_path / "phased.png", [0.4] * 20, phase_starts=[1, 11])
    added = find_pixels(phased, grey)[0].size - find_pixels(plain, grey)[0].size
    assert added > 300


def test_a_best_epoch_that_was_never_trained_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"best_epoch is 3; give one of 1\.\.2"):
        draw_curve(tmp_path / "curve.png", [0.5, 0.4], best_epoch=3)


def test_training_and_validation_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(ValueError, match="validation has 1 epochs, training 2"):
        draw_curve(tmp_path / "curve.png", [0.5, 0.4], [0.5])


def test_a_confusion_matrix_of_many_classes_stays_of_a_readable_size(tmp_path):
    path = tmp_path / "confusion.png"
    names = [f"a_long_class_name_{index}" for index in range(100)]
    plot_confusion(path, np.eye(100, dtype=np.int64), names, title="t", provenance={})
    width, height = read_size(path)
    assert 1000 < width < 2000
    assert 1000 < height < 2000


def test_a_class_without_images_is_drawn(tmp_path):
    path = tmp_path / "confusion.png"
    plot_confusion(path, np.array([[3, 1], [0, 0]]), ["a", "b"], title="t", provenance={})
    assert read_size(path) > (100, 100)


def test_dollar_signs_in_class_names_are_no_formula(tmp_path):
    path = tmp_path / "confusion.png"
    names = ["$\\unknown$", "$x$"]
    plot_confusion(path, np.eye(2, dtype=np.int64), names, title="$\\bad$", provenance={})
    assert path.is_file()


def test_a_confusion_matrix_of_another_size_than_the_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(2, 2\), class_names 3 names"):
        plot_confusion(tmp_path / "c.png", np.eye(2), list("abc"), title="t", provenance={})


def test_no_mistakes_is_said_in_a_small_picture(tmp_path):
    none, one = draw_mistakes(tmp_path / "0.png", 0), draw_mistakes(tmp_path / "1.png", 1)
    assert read_size(none)[1] < read_size(one)[1]
    assert find_pixels(none, (102, 102, 102))[0].size > 50, "grey text"


def test_only_the_first_25_mistakes_are_drawn(tmp_path):
    most, more = draw_mistakes(tmp_path / "25.png", 25), draw_mistakes(tmp_path / "26.png", 26)
    assert most.read_bytes() == more.read_bytes()


def test_mistakes_without_a_caption_each_are_refused(tmp_path):
    images = np.zeros((2, 8, 8, 1), np.uint8)
    with pytest.raises(ValueError, match="2 images have 1 captions"):
        plot_mistakes(tmp_path / "m.png", images, ["a"], title="t", provenance={})


def test_images_that_are_not_raw_pixels_are_refused(tmp_path):
    images = np.zeros((1, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"float32 \(1, 8, 8, 1\); give uint8"):
        plot_mistakes(tmp_path / "m.png", images, ["a"], title="t", provenance={})


def run_python(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_importing_plots_loads_no_library_that_is_slow():
    loaded = run_python(
        "import sys, epochlab.plots, epochlab.model_picture;"
        "print({'matplotlib', 'tensorflow', 'keras', 'PIL'} & set(sys.modules))"
    )
    assert loaded == "set()\n"


def test_drawing_never_loads_pyplot(tmp_path):
    loaded = run_python(
        "import sys; from pathlib import Path; from epochlab.plots import plot_curve;"
        f"plot_curve(Path({str(tmp_path / 'curve.png')!r}), 'loss', [1.0], None,"
        " best_epoch=1, title='t', provenance={});"
        "print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    assert loaded == "True False\n"


def test_the_model_picture_carries_its_provenance(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    draw_model(tmp_path / "model.png", model, provenance=PROVENANCE)
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.text == PROVENANCE
        assert np.asarray(picture).std() > 0, "something is drawn"


def test_a_program_that_fails_is_an_environment_fault(tmp_path, monkeypatch):
    import keras

    program = tmp_path / "scripts" / "graphviz-pure"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(program.parent))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(EnvironmentFault, match="returned code: 3"):
        draw_model(tmp_path / "model.png", model, provenance={})
    assert list(tmp_path.glob("*.png")) == []


def test_a_missing_drawing_program_names_the_package_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="pip install graphviz-pure"):
        find_drawing_program()


def test_graphviz_is_the_fallback(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_drawing_program() == str(program)


def test_augmentation_sheet_shows_the_original_and_every_pass(tmp_path):
    generator = np.random.default_rng(0)
    original = generator.integers(0, 256, (20, 30, 3), np.uint8)
    changed = generator.integers(0, 256, (7, 20, 30, 3), np.uint8)
    path = tmp_path / "augmentation.png"
    plot_augmentation(path, original, changed, title="a.jpg", provenance={"run": "1"})
    with Image.open(path) as picture:
        assert picture.text["run"] == "1"
        assert picture.width > picture.height
    with pytest.raises(ValueError, match="uint8"):
        plot_augmentation(path, original / 255, changed / 255, title="", provenance={})
