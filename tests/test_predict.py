"""`epochlab predict`: small models in hand-made runs, small images, every way to go wrong."""

import contextlib
import csv
import io
import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from conftest import load_experiment, make_digits
from PIL import Image

from epochlab import cli, prediction, trained_model
from epochlab.config import dump_config
from epochlab.data import image_search
from epochlab.data.decoding import resize_image
from epochlab.data.directory import load_directory
from epochlab.data.image_search import find_images
from epochlab.errors import DataError, RunError
from epochlab.evaluation import evaluate, format_predictions
from epochlab.hashing import weights_sha256
from epochlab.models.dense_layer import Dense
from epochlab.prediction import Prediction, Unreadable, predict_files, predict_found
from epochlab.runs import Run, load_run
from epochlab.trained_model import TrainedModel, load_trained_model

Answer = tuple[int, str, str]

SHAPE = (6, 5, 3)
NAMES = ("ant", "bee", "cat")
# The settings of a network that is a single layer on scaled pixels.
MODEL = {"scaling": "unit", "dense_units": [], "activation": "relu", "dropout": []}


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `epochlab predict ARGUMENTS` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["epochlab", "predict", *map(str, arguments)])
        capsys.readouterr()  # what was printed before
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@contextlib.contextmanager
def quiet_keras() -> Iterator[None]:
    """Saving `.h5` logs that the format is old."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def make_model(
    head: str | keras.layers.Layer = "softmax",
    outputs: int = 3,
    image_shape: tuple[int, int, int] = SHAPE,
    kernel_seed: int = 1,
) -> keras.Model:
    """One layer on scaled pixels, with weights that tell images well apart.

    With the usual head it is the network of `MODEL`; with another one it has to be trusted.
    """
    if isinstance(head, str):
        initializer = keras.initializers.RandomNormal(stddev=0.5, seed=kernel_seed)
        layer = keras.layers.Dense(
            outputs, activation=head, kernel_initializer=initializer, name="predictions"
        )
    else:
        layer = head
    pixels = keras.Input(image_shape, name="pixels")
    scaled = keras.layers.Rescaling(1 / 255, name="scaling")(pixels)
    flat = keras.layers.Flatten(name="flatten")(scaled)
    return keras.Model(pixels, layer(flat), name="mlp")


def make_run(
    path: Path,
    model: keras.Model,
    *,
    class_names: tuple[str, ...] = NAMES,
    image_shape: tuple[int, int, int] = SHAPE,
    **data: object,
) -> Path:
    """Writes what a finished run has and a prediction needs."""
    path.mkdir(parents=True)
    settings = {"experiment": "hand_made", "seed": 1, "data": data, "model": MODEL}
    settings["training"] = {"precision": "float32"}
    (path / "config.yaml").write_text(yaml.safe_dump(settings))
    recorded = {"image_shape": image_shape, "class_names": class_names}
    (path / "data.json").write_text(json.dumps(recorded))
    with quiet_keras():
        model.save(path / "model.h5")
    (path / "metrics.json").write_text(json.dumps({"weights_sha256": weights_sha256(model)}))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with three classes on RGB images of 6 x 5 pixels. Do not change it."""
    return make_run(tmp_path_factory.mktemp("runs") / "softmax", make_model())


@pytest.fixture
def broken(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    copy = tmp_path / "broken"
    copy.mkdir()
    for file in run.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def random_pixels(seed: int, image_shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, image_shape, dtype=np.uint8)


def save_image(path: Path, pixels: np.ndarray | int) -> Path:
    """Writes a PNG, whatever the suffix; a number stands for random pixels."""
    array = random_pixels(pixels) if isinstance(pixels, int) else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as opened:
        Image.fromarray(array.squeeze()).save(opened, "PNG")
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five images, 0.png to 4.png."""
    for number in range(5):
        save_image(tmp_path / "pictures" / f"{number}.png", number)
    return tmp_path / "pictures"


def read_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def files_of(text: str) -> list[str]:
    return [row["file"] for row in read_rows(text)]


def assert_refused(answer: Answer, code: int, *words: str, with_table: bool = False) -> None:
    """One message on stderr, nothing on stdout."""
    assert answer[0] == code, answer
    assert answer[1] == ""
    assert answer[2].startswith("error: ") and answer[2].count("error: ") == 1, answer[2]
    assert with_table or answer[2].count("\n") == 1, answer[2]
    assert "Traceback" not in answer[2]
    for word in words:
        assert word in answer[2]


def probabilities(run_path: Path, *paths: Path, trust: bool = False) -> np.ndarray:
    """What the public function gives, one row per file."""
    results = list(predict_files(load_run(run_path), paths, trust=trust))
    assert all(isinstance(result, Prediction) for result in results)
    return np.stack([result.probabilities for result in results if isinstance(result, Prediction)])


# The heads of a model.


def test_softmax_head_gives_its_outputs(run: Path, pictures: Path):
    model = keras.models.load_model(run / "model.h5", compile=False)
    expected = model.predict(np.stack([random_pixels(number) for number in range(5)]), verbose=0)
    np.testing.assert_allclose(probabilities(run, pictures), expected, atol=1e-6)


def test_sigmoid_output_is_the_probability_of_the_second_class(call, tmp_path: Path):
    model = make_model("sigmoid", 1)
    run = make_run(tmp_path / "run", model, class_names=("cat", "dog"))
    image = save_image(tmp_path / "a.png", 7)
    dog = float(model.predict(random_pixels(7)[None], verbose=0)[0, 0])
    answer = call(run, image, "--format", "json")
    assert answer[0] == 0
    found = json.loads(answer[1])[0]["probabilities"]
    assert found == pytest.approx({"dog": dog, "cat": 1 - dog}, abs=1e-6)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "head",
    [
        keras.layers.Dense(3),
        Dense(3, "linear"),
        keras.Sequential([keras.layers.Dense(3), keras.layers.Activation("linear")]),
    ],
    ids=["dense", "hand-written", "nested"],
)
def test_logits_become_probabilities(head: keras.layers.Layer, tmp_path: Path, pictures: Path):
    model = make_model(head)
    logits = model.predict(np.stack([random_pixels(number) for number in range(5)]), verbose=0)
    run = make_run(tmp_path / "run", model)
    found = probabilities(run, pictures, trust=True)
    np.testing.assert_allclose(found, softmax(logits), atol=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        keras.Sequential([keras.layers.Dense(3), keras.layers.Softmax()]),
        keras.Sequential([keras.layers.Dense(3), keras.layers.Activation("softmax")]),
        keras.Sequential(
            [keras.layers.Dense(3, activation="softmax"), keras.layers.Activation("linear")]
        ),
    ],
    ids=["layer", "activation", "passed-on"],
)
def test_softmax_is_not_applied_twice(head: keras.layers.Layer, tmp_path: Path, pictures: Path):
    model = make_model(head)
    outputs = model.predict(np.stack([random_pixels(number) for number in range(5)]), verbose=0)
    run = make_run(tmp_path / "run", model)
    np.testing.assert_allclose(probabilities(run, pictures, trust=True), outputs, atol=1e-6)


@pytest.mark.parametrize(("head", "outputs", "names"), [("relu", 3, NAMES), ("linear", 1, "ab")])
def test_head_that_cannot_be_read_is_refused(head, outputs, names, call, tmp_path, pictures):
    run = make_run(tmp_path / "run", make_model(head, outputs), class_names=tuple(names))
    answer = call(run, pictures, "--trust")
    assert_refused(answer, 4, f"ends in {head}", "softmax", "sigmoid")


# How an image comes to the form that the model takes.


def test_predictions_are_those_of_the_run_on_its_test_files(call, tmp_path, monkeypatch):
    """From the same decoder: large JPEGs, cut and shrunk, as a directory run has them."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    seeds = itertools.count()
    for split in ("train", "validation", "test"):
        for number in range(3):
            for name in ("cat", "dog"):
                path = tmp_path / "photographs" / split / name / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = random_pixels(next(seeds), (40, 60, 3))
                Image.fromarray(pixels).resize((90, 50)).save(path, quality=80)
    config = load_experiment(
        "cats_dogs_baseline",
        f"data.path={tmp_path / 'photographs'}",
        "data.image_size=[12, 16]",
        "data.interpolation=bilinear",
        "data.aspect=crop",
    )
    data = load_directory(config.data)  # pyright: ignore[reportAttributeAccessIssue]
    model = make_model("sigmoid", 1, (12, 16, 3))
    run = make_run(
        tmp_path / "run", model, class_names=data.class_names, image_shape=data.image_shape
    )
    settings = yaml.safe_load(dump_config(config)) | {"model": MODEL}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    recorded = read_rows(
        format_predictions(evaluate(model, data.test), data.test, data.class_names)
    )

    code, out, _ = call(run, tmp_path / "photographs" / "test")
    assert code == 0
    rows = read_rows(out)
    assert len(rows) == 6
    for row, expected in zip(rows, recorded, strict=True):
        assert row["file"] == str(tmp_path / "photographs" / expected["image"])
        assert row["class"] == expected["prediction"]
        assert float(row["probability"]) == pytest.approx(float(expected["probability"]), abs=1e-5)


def test_run_on_grey_images_takes_colour_and_the_reverse(tmp_path: Path):
    grey = make_run(tmp_path / "grey", make_model(image_shape=(6, 5, 1)), image_shape=(6, 5, 1))
    colour = make_run(tmp_path / "colour", make_model())
    pixels = random_pixels(3, (6, 5, 1))
    one = save_image(tmp_path / "one.png", pixels)
    three = save_image(tmp_path / "three.png", np.repeat(pixels, 3, axis=2))
    for path in (grey, colour):
        first, second = probabilities(path, one, three)
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "interpolation"), [((12, 10), "area"), ((3, 4), "bilinear"), ((12, 4), "bilinear")]
)
def test_images_of_another_size_than_arrays_are_shrunk_by_area(
    size, interpolation, run: Path, tmp_path: Path
):
    pixels = random_pixels(1, (*size, 3))
    resized = resize_image(pixels, SHAPE[:2], interpolation, "stretch")
    given = save_image(tmp_path / "given.png", pixels)
    same = save_image(tmp_path / "same.png", resized)
    first, second = probabilities(run, given, same)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_interpolation_and_aspect_come_from_the_run(tmp_path: Path):
    run = make_run(
        tmp_path / "run",
        make_model(),
        image_size=[6, 5],
        color_mode="rgb",
        interpolation="nearest",
        aspect="pad",
    )
    pixels = random_pixels(1, (20, 9, 3))
    given = save_image(tmp_path / "given.png", pixels)
    same = save_image(tmp_path / "same.png", resize_image(pixels, (6, 5), "nearest", "pad"))
    first, second = probabilities(run, given, same)
    np.testing.assert_allclose(first, second, atol=1e-6)


# Which files are taken.


def test_files_come_in_the_order_given_and_folders_sorted(call, run, pictures, tmp_path):
    last = save_image(tmp_path / "z.png", 9)
    code, out, err = call(run, last, pictures)
    assert code == 0
    assert files_of(out) == [str(last), *(str(pictures / f"{number}.png") for number in range(5))]
    assert err == "predicted 6 images; 0 skipped\n"


def test_file_that_is_given_twice_counts_once(call, run, pictures, tmp_path):
    link = tmp_path / "link.png"
    link.symlink_to(pictures / "4.png")
    _, out, err = call(run, pictures / "3.png", pictures, pictures / ".." / "pictures", link)
    assert files_of(out) == [str(pictures / f"{number}.png") for number in (3, 0, 1, 2, 4)]
    assert err == "predicted 5 images; 0 skipped\n"


def test_folder_is_searched_to_any_depth_and_nothing_in_it_followed(call, run, tmp_path):
    folder = tmp_path / "folder"
    deep = save_image(folder / "1/2/3/4/5/6" / "deep.PNG", 1)
    outside = save_image(tmp_path / "outside" / "x.png", 2)
    save_image(folder / ".hidden.png", 3)
    save_image(folder / ".thumbnails" / "x.png", 3)
    save_image(folder / "__MACOSX" / "x.png", 3)
    (folder / "notes.txt").write_text("no image")
    (folder / "Thumbs.db").write_text("no image")
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    (folder / "dangling.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    code, out, err = call(run, folder)
    assert code == 0
    assert files_of(out) == [str(deep)]
    assert err == "predicted 1 image; 0 skipped; 7 left out that are no images\n"


def test_named_file_is_decoded_whatever_its_suffix(call, run, tmp_path):
    named = save_image(tmp_path / "image.data", 1)
    assert files_of(call(run, named)[1]) == [str(named)]


def test_folder_that_cannot_be_listed_is_named(call, run, pictures, monkeypatch):
    save_image(pictures / "locked" / "x.png", 1)
    scandir = os.scandir

    def deny(path: Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(image_search.os, "scandir", deny)
    code, out, err = call(run, pictures)
    assert code == 3
    assert len(files_of(out)) == 5
    assert f"skipped: {pictures / 'locked'}: cannot be listed (Permission denied)\n" in err


@pytest.mark.parametrize("given", ["missing.png", "file.png/below", "pipe", "/dev/null"])
def test_path_that_is_no_file_is_refused_before_tensorflow_loads(
    given, call, run, tmp_path, monkeypatch
):
    monkeypatch.setattr(trained_model, "load_tensorflow", lambda: pytest.fail("was loaded"))
    save_image(tmp_path / "file.png", 1)
    os.mkfifo(tmp_path / "pipe")
    answer = call(run, tmp_path / "file.png", tmp_path / given)
    assert_refused(answer, 3, str(tmp_path / given), "give image files or folders")


def test_folder_without_images_is_refused(call, run, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    assert_refused(call(run, tmp_path / "folder"), 3, "no image files found", ".png")


# Files that cannot be decoded.


def test_bad_files_are_named_and_the_others_predicted(call, run, pictures):
    (pictures / "1.png").write_bytes(b"")
    (pictures / "2.png").write_bytes((pictures / "3.png").read_bytes()[:-40])
    (pictures / "4.png").write_text("<html>not found")
    code, out, err = call(run, pictures)
    assert code == 3
    assert files_of(out) == [str(pictures / "0.png"), str(pictures / "3.png")]
    assert err.splitlines() == [
        f"skipped: {pictures / '1.png'}: is empty",
        f"skipped: {pictures / '2.png'}: is damaged or cut off: it cannot be decoded to the end",
        f"skipped: {pictures / '4.png'}: is a web page, not an image",
        "predicted 2 images; 3 skipped",
    ]


def test_no_readable_file_leaves_nothing_half_made(call, run, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("text")
    old = tmp_path / "out.csv"
    old.write_text("old")
    for arguments in (["--format", "csv"], ["--format", "json"], ["--out", old]):
        code, out, err = call(run, bad, *arguments)
        assert (code, out) == (3, "")
        assert f"skipped: {bad}: is no image" in err
        assert "error: none of the 1 files" in err
    assert old.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [bad, old]


def test_file_that_changes_after_the_listing_does_not_stop_the_others(run, pictures):
    found = find_images([pictures])
    (pictures / "0.png").unlink()
    (pictures / "1.png").unlink()
    os.mkfifo(pictures / "1.png")
    (pictures / "2.png").unlink()
    (pictures / "2.png").symlink_to("3.png")
    with (pictures / "4.png").open("r+b") as opened:
        opened.truncate(2**31)
    results = list(predict_found(load_trained_model(load_run(run)), found, 32))
    reasons = [result.reason for result in results if isinstance(result, Unreadable)]
    assert len(reasons) == 4
    for reason, word in zip(
        reasons,
        ("No such file", "no regular file", "symbolic link", "2,147,483,648 b"),
        strict=True,
    ):
        assert word in reason
    assert isinstance(results[3], Prediction)


# Batches.


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batch_size_does_not_change_the_result(batch_size, call, run, pictures):
    expected = read_rows(call(run, pictures)[1])
    rows = read_rows(call(run, pictures, "--batch-size", batch_size)[1])
    for row, other in zip(rows, expected, strict=True):
        assert (row["file"], row["class"]) == (other["file"], other["class"])
        assert float(row["probability"]) == pytest.approx(float(other["probability"]), abs=2e-6)


def test_batches_are_full_whatever_the_number_of_bad_files(run, pictures, monkeypatch):
    sizes = []
    predict = TrainedModel.predict

    def count(model: TrainedModel, pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        return predict(model, pixels)

    monkeypatch.setattr(TrainedModel, "predict", count)
    for name in ("0a", "0b", "2a", "4a"):
        (pictures / f"{name}.png").write_text("text")
    results = list(predict_files(load_run(run), [pictures], 2))
    assert sizes == [2, 2, 1]
    names = ["0.png", "0a.png", "0b.png", "1.png", "2.png", "2a.png", "3.png", "4.png", "4a.png"]
    assert [result.file.name for result in results] == names


def test_no_more_files_are_opened_than_a_batch_needs(run, pictures, monkeypatch):
    opened = []

    def read(place: str) -> bytes:
        opened.append(place)
        return image_search.read_image(place)

    monkeypatch.setattr(prediction, "read_image", read)
    results = predict_found(load_trained_model(load_run(run)), find_images([pictures]), 2)
    next(results)
    assert len(opened) == 2
    assert len(list(results)) == 4
    assert len(opened) == 5


# What is written.


def test_csv_has_the_likeliest_classes_side_by_side(call, run, pictures):
    code, out, _ = call(run, pictures / "0.png", "--top", 3)
    assert code == 0
    assert out.splitlines()[0] == (
        "file,class,probability,class_2,probability_2,class_3,probability_3"
    )
    (row,) = read_rows(out)
    assert {row["class"], row["class_2"], row["class_3"]} == set(NAMES)
    found = [float(row[f"probability{end}"]) for end in ("", "_2", "_3")]
    assert found == sorted(found, reverse=True)
    assert sum(found) == pytest.approx(1, abs=2e-6)


def test_csv_by_default_has_the_likeliest_class(call, run, pictures):
    (row,) = read_rows(call(run, pictures / "0.png")[1])
    expected = probabilities(run, pictures / "0.png")[0]
    assert list(row) == ["file", "class", "probability"]
    assert row["class"] == NAMES[expected.argmax()]
    assert float(row["probability"]) == pytest.approx(expected.max(), abs=1e-6)


def test_json_has_all_classes_or_the_likeliest(call, run, pictures):
    everything = json.loads(call(run, pictures, "--format", "json")[1])
    assert [entry["file"] for entry in everything] == [
        str(pictures / f"{number}.png") for number in range(5)
    ]
    for entry in everything:
        values = list(entry["probabilities"].values())
        assert set(entry) == {"file", "class", "probabilities"}
        assert set(entry["probabilities"]) == set(NAMES)
        assert values == sorted(values, reverse=True)
        assert entry["class"] == next(iter(entry["probabilities"]))
    two = json.loads(call(run, pictures, "--format", "json", "--top", 2)[1])
    for entry, whole in zip(two, everything, strict=True):
        assert entry["probabilities"] == dict(list(whole["probabilities"].items())[:2])


def test_strange_names_leave_csv_and_json_readable(call, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = {
        "a,b.png": "a,b.png",
        'quote".png': 'quote".png',
        "new\nline.png": "new\\nline.png",
        "=1+1.png": "./=1+1.png",
        "-dash.png": "./-dash.png",
        "caf\udce9.png": "caf\\udce9.png",
        "föhn \U0001f63a.png": "föhn \U0001f63a.png",
    }
    for name in shown:
        save_image(tmp_path / name, 1)
    code, out, _ = call(run, "--", *shown)
    assert code == 0
    assert files_of(out) == list(shown.values())
    assert len(out.splitlines()) == len(shown) + 1
    code, out, _ = call(run, "--format", "json", "--", *shown)
    assert code == 0
    assert out.isascii()
    assert [entry["file"] for entry in json.loads(out)] == list(shown.values())


def test_out_gets_what_would_be_printed(call, run, pictures, tmp_path):
    (pictures / "3.png").write_text("text")
    for arguments, name in (([], "a.csv"), (["--format", "json"], "b.txt"), ([], "c.json")):
        printed = call(run, pictures, "--format", "json" if name != "a.csv" else "csv")[1]
        code, out, err = call(run, pictures, "--out", tmp_path / name, *arguments)
        assert (code, out) == (3, "")
        assert err.endswith("predicted 4 images; 1 skipped\n")
        assert (tmp_path / name).read_text() == printed


def test_out_replaces_an_older_file_only_when_all_is_done(
    call, run, pictures, tmp_path, monkeypatch
):
    old = tmp_path / "out.csv"
    old.write_text("old")
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(TrainedModel, "predict", interrupt)
        assert call(run, pictures, "--out", old)[0] == 130
    assert old.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before
    assert call(run, pictures, "--out", old)[0] == 0
    assert len(files_of(old.read_text())) == 5


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("pictures", "not a regular file"),
        ("pictures/0.png", "one of the images"),
        ("nowhere/out.csv", "does not exist"),
        ("/dev/null", "not a regular file"),
        ("broken/predictions.csv", "the run's folder"),
    ],
)
def test_out_that_would_destroy_something_is_refused(place, word, call, broken, pictures, tmp_path):
    answer = call(broken, pictures, "--out", tmp_path / place)
    assert_refused(answer, 2, "--out", word)
    assert files_of(call(broken, pictures)[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--top", "0"], ["--top"]),
        (["--top", "4"], ["--top 4", "3 classes"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--batch-size", "5000"], ["--batch-size"]),
        (["--format", "xml"], ["--format", "csv", "json"]),
    ],
)
def test_mistake_on_the_command_line(arguments, words, call, run, pictures):
    assert_refused(call(run, pictures, *arguments), 2, *words)


def test_reader_that_stops_early_is_no_failure(call, run, pictures, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        code, _, err = call(run, pictures)
    assert (code, err) == (0, "")


# Runs that cannot be used.


def delete(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes(raw)


def change(name: str, **values: object) -> Callable[[Path], object]:
    def change_values(run: Path) -> None:
        recorded = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(recorded | values))

    return change_values


def replace_model(make: Callable[[], keras.Model]) -> Callable[[Path], object]:
    def save(run: Path) -> None:
        with quiet_keras():
            make().save(run / "model.h5")

    return save


def cut_model(run: Path) -> None:
    content = (run / "model.h5").read_bytes()
    (run / "model.h5").write_bytes(content[: len(content) // 2])


class Foreign(keras.layers.Dense):
    """A class that Keras does not know when it loads."""


def two_inputs() -> keras.Model:
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    flat = keras.layers.Flatten()(keras.layers.Add()([first, second]))
    return keras.Model([first, second], keras.layers.Dense(3, activation="softmax")(flat))


DAMAGES = {
    "unfinished": (delete("metrics.json"), "not finished"),
    "no model": (delete("model.h5"), "no such file"),
    "no data.json": (delete("data.json"), "data.json"),
    "no config": (delete("config.yaml"), "config.yaml"),
    "text as model": (write("model.h5", "text"), "model.h5: is a text file"),
    "cut model": (cut_model, "model.h5: is damaged or cut off"),
    "unknown class": (replace_model(lambda: make_model(Foreign(3, name="predictions"))), "Foreign"),
    "code in the model": (
        replace_model(lambda: make_model(keras.layers.Lambda(lambda pixels: pixels[:, :3]))),
        "lambda",
    ),
    "another model": (
        replace_model(lambda: make_model(kernel_seed=2)), "not those of this run",
    ),
    "other image shape": (
        replace_model(lambda: make_model(image_shape=(7, 5, 3))), "float32 (105, 3)",
    ),
    "two inputs": (replace_model(two_inputs), "input_layer"),
    "other classes": (change("data.json", class_names=["a", "b"]), "float32 (90, 1)"),
    "class twice": (change("data.json", class_names=["a", "b", "b"]), "twice"),
    "no classes": (change("data.json", class_names=None), "class_names"),
    "bad shape": (change("data.json", image_shape=[6, -5, 3]), "image_shape"),
    "no hash": (change("metrics.json", weights_sha256=None), "None"),
    "list for metrics": (write("metrics.json", "[]"), "metrics.json"),
    "list for data": (write("data.json", "[]"), "data.json"),
    "broken config": (write("config.yaml", "data: ["), "config.yaml"),
    "no data section": (write("config.yaml", "seed: 1"), "config.yaml: data"),
    "interpolation": (write("config.yaml", "data: {interpolation: cubic}"), "interpolation"),
    "image size": (write("config.yaml", "data: {image_size: [9, 9]}"), "(9, 9)"),
    "colour": (write("config.yaml", "data: {color_mode: grayscale}"), "grayscale"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_run_that_cannot_be_used(damage, call, broken, pictures):
    damage_run, word = DAMAGES[damage]
    damage_run(broken)
    assert_refused(call(broken, pictures), 4, str(broken), word, with_table=True)


def test_outputs_that_are_not_finite_are_refused(tmp_path, pictures):
    model = make_model()
    model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, 3e38))
    run = make_run(tmp_path / "run", model)
    with pytest.raises(RunError, match="not all finite"):
        list(predict_files(load_run(run), [pictures]))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (replace_model(lambda: make_model(Foreign(3))), "Foreign"),
        (replace_model(lambda: make_model(image_shape=(7, 5, 3))), "takes [(None, 7, 5, 3)]"),
        (replace_model(two_inputs), "model.h5 takes"),
        (change("data.json", class_names=["a", "b"]), "2 classes"),
        (write("model.h5", "text"), "model.h5: cannot be opened"),
        (cut_model, "model.h5: cannot be opened"),
    ],
)
def test_trusted_run_that_cannot_be_used(damage, word, call, broken, pictures):
    damage(broken)
    assert_refused(call(broken, pictures, "--trust"), 4, str(broken), word)


# The function that a program calls.


def test_predict_files_yields_predictions_and_what_is_unreadable(run, pictures):
    (pictures / "1.png").write_text("text")
    first, second, *_ = predict_files(Run(run), [pictures], batch_size=2)
    assert isinstance(first, Prediction)
    assert first.file == pictures / "0.png"
    assert first.class_names == NAMES
    assert first.probabilities.shape == (3,)
    assert first.probabilities.dtype == np.float64
    assert isinstance(second, Unreadable)
    assert second.file == pictures / "1.png"


def test_equally_likely_classes_come_in_their_own_order():
    tied = Prediction(Path("a"), ("x", "y", "z"), np.array([0.25, 0.5, 0.25]))
    assert tied.ranked() == [("y", 0.5), ("x", 0.25), ("z", 0.25)]
    assert tied.ranked(2) == [("y", 0.5), ("x", 0.25)]


def test_mistakes_show_at_the_call_not_at_the_first_image(run, broken, pictures):
    with pytest.raises(DataError):
        predict_files(Run(run), [pictures / "missing"])
    with pytest.raises(ValueError, match="batch_size=0"):
        predict_files(Run(run), [pictures], batch_size=0)
    (broken / "metrics.json").unlink()
    with pytest.raises(RunError):
        predict_files(Run(broken), [pictures])


# As a user does it, in a process of its own.


@pytest.mark.slow
def test_trained_run_predicts_its_test_images_from_a_shell(run_script, tmp_path):
    digits = make_digits(tmp_path / "digits.npz")
    trained = run_script(
        "custom_dense_mnist", "--set", f"data.path={digits}", "--set", "training.epochs=1"
    )
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / trained.stdout.splitlines()[-1].removeprefix("run: ")
    with np.load(digits) as arrays:
        for number, pixels in enumerate(arrays["x_test"]):
            save_image(tmp_path / "images" / f"{number:02}.png", pixels)
    program = [sys.executable, "-m", "epochlab.cli", "predict", str(run)]

    finished = subprocess.run(
        [*program, "images"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert finished.stderr == "predicted 50 images; 0 skipped\n"
    recorded = read_rows((run / "predictions.csv").read_text())
    for row, expected in zip(read_rows(finished.stdout), recorded, strict=True):
        assert row["file"] == f"images/{int(expected['image']):02}.png"
        assert row["class"] == expected["prediction"]
        assert float(row["probability"]) == pytest.approx(float(expected["probability"]), abs=1e-5)

    (tmp_path / "images" / "07.png").write_text("text")
    headed = subprocess.run(
        f"{' '.join(program)} images --batch-size 1 | head -n 1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert headed.stdout == "file,class,probability\n"
    assert "Traceback" not in headed.stderr
    assert "Broken" not in headed.stderr


def test_help_and_mistakes_do_not_load_tensorflow(run, tmp_path):
    program = (
        "import sys\n"
        "from epochlab import cli\n"
        "try:\n"
        "    cli.main()\n"
        "except SystemExit as end:\n"
        "    heavy = {'tensorflow', 'keras', 'numpy', 'PIL', 'matplotlib'}\n"
        "    print(end.code, sorted(heavy & set(sys.modules)))\n"
    )
    for arguments, code in ((["--help"], 0), ([str(run), str(tmp_path / "missing")], 3)):
        printed = subprocess.run(
            [sys.executable, "-c", program, "predict", *arguments], capture_output=True, text=True
        ).stdout
        assert printed.splitlines()[-1] == f"{code} []"
