"""`epochlab explain` on small untrained runs, by whatever a user may ask of it."""

import csv
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from conftest import make_digits, make_photographs
from PIL import Image

from epochlab import cli
from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.data.images import ImageData
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.data_records import format_hashes
from epochlab.evaluation import evaluate, format_predictions
from epochlab.explain.grid import make_columns
from epochlab.explain.plans import Request
from epochlab.explain.subjects import Row, choose_rows, find_subjects, read_rows, safe_name
from epochlab.hashing import weights_sha256
from epochlab.input_format import read_input_format
from epochlab.models.lenet import LeNetConfig, build_lenet
from epochlab.models.small_xception import SmallXceptionConfig, build_small_xception
from epochlab.recorded_runs import read_run
from epochlab.runs import load_run

Answer = tuple[int, str, str]
layers = keras.layers


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., Answer]:
    """Runs `epochlab explain ARGUMENTS` in this process: exit code, stdout, stderr.

    Networks that no family of Epochlab describes are opened with `--trust`.
    """

    def run(*arguments: object) -> Answer:
        if any(isinstance(given, Path) and is_own_network(given) for given in arguments):
            arguments = (*arguments, "--trust")
        monkeypatch.setattr(sys, "argv", ["epochlab", "explain", *map(str, arguments)])
        capsys.readouterr()  # what was printed before
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


OWN_NETWORK = {"own": True}


def is_own_network(path: Path) -> bool:
    config = path / "config.yaml"
    return config.is_file() and yaml.safe_load(config.read_text())["model"] == OWN_NETWORK


def make_run(path: Path, model: keras.Model, data: ImageData, section: dict, network: dict) -> Path:
    """Writes what a finished run has and an explanation needs."""
    path.mkdir(parents=True)
    config = {
        "experiment": path.parent.name, "seed": 3, "data": section, "model": network,
        "training": {"precision": "float32"},
    }  # fmt: skip
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "data.json").write_text(json.dumps(data.describe()))
    if data.file_hashes:
        (path / "files.csv").write_text(format_hashes(data))
    (path / "environment.json").write_text(json.dumps({"git": None, "versions": {"keras": "3"}}))
    predictions = format_predictions(evaluate(model, data.test), data.test, data.class_names)
    (path / "predictions.csv").write_text(predictions)
    logging.disable(logging.WARNING)  # saving `.h5` logs that the format is old
    model.save(path / "model.h5")
    logging.disable(logging.NOTSET)
    metrics = {
        "weights_sha256": weights_sha256(model), "best_epoch": None,
        "test": {"loss": 1.0, "accuracy": 0.25},
    }  # fmt: skip
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def make_digit_run(
    folder: Path, name: str = "small_lenet", model=None, seed: int = 1, network=OWN_NETWORK
) -> Path:
    digits = folder / "digits.npz"
    if not digits.exists():
        make_digits(digits)
    config = MnistConfig(path=str(digits), limit=None, validation_fraction=0.2, augment=None)
    data = load_mnist(config)
    lenet = LeNetConfig(
        scaling="unit", filters=(4, 6), kernel_size=3, dense_units=8, activation="relu",
        data_format="channels_last",
    )  # fmt: skip
    network = network if model else lenet.model_dump(mode="json")
    model = model or build_lenet(lenet, (12, 12, 1), 4, seed)
    return make_run(folder / name / f"seed{seed}", model, data, config.model_dump(), network)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a LeNet on digits of 12 x 12 pixels in four classes."""
    return make_digit_run(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def dense_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a network without convolutions."""
    pixels = keras.Input((12, 12, 1))
    model = keras.Model(
        pixels, layers.Dense(4, activation="softmax", name="out")(layers.Flatten()(pixels))
    )
    return make_digit_run(tmp_path_factory.mktemp("outputs"), "dense", model)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on photographs of two classes, with a model inside its model."""
    folder = tmp_path_factory.mktemp("outputs")
    return make_photograph_run(
        folder, make_photographs(folder / "pets", train=3, validation=1, test=3)
    )


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on files and classes that tables cannot show as they are.

    A spreadsheet would compute both classes, and one has a no-break space. The files are called as
    macOS calls a screenshot, with a narrow no-break space.
    """
    folder = tmp_path_factory.mktemp("outputs")
    photographs = make_photographs(folder / "pets", train=2, validation=1, test=2)
    for file in photographs.rglob("*.jpg"):
        file.rename(file.with_name(f"{file.stem} 9.41\u202fAM.jpg"))
    for split in photographs.iterdir():
        (split / "cat").rename(split / "+\u00a0cat")
        (split / "dog").rename(split / "-")
    return make_photograph_run(folder, photographs)


def make_photograph_run(folder: Path, photographs: Path) -> Path:
    section = {
        "path": str(photographs), "class_names": None, "limit": None, "skip_list": None,
        "on_bad": "error", "image_size": (24, 20), "color_mode": "rgb",
        "interpolation": "bilinear", "aspect": "crop", "cache_limit": 0.0, "class_weight": None,
        "augment": None,
    }  # fmt: skip
    data = load_directory(DirectoryConfig.model_validate(section))
    inner = keras.Sequential(
        [
            keras.Input((24, 20, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu", name="conv_a"),
            layers.MaxPooling2D(2, name="pool_a"),
            layers.Conv2D(4, 3, activation="relu", name="conv_b"),
        ],
        name="base",
    )
    pixels = keras.Input((24, 20, 3))
    flat = layers.Flatten()(inner(pixels))
    model = keras.Model(pixels, layers.Dense(1, activation="sigmoid", name="out")(flat))
    section["image_size"] = [24, 20]
    return make_run(folder / "pets_run" / "seed3", model, data, section, OWN_NETWORK)


def pictures(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))
    }


def test_everything_that_fits_is_drawn_and_said(run: Path, call):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    code, out, _ = call(run, "--image", "7", "--image", "0")
    assert code == 0
    *lines, last = out.splitlines()
    written = [Path(line.split("  ")[0]) for line in lines]
    expected = {
        "overview.png", "filters-conv1.png", "filters-conv2.png",
        *(
            f"image-{name}/{picture}.png"
            for name in (7, 0)
            for picture in (
                "activations", "activations-conv1", "activations-pool1", "activations-conv2",
                "activations-pool2",
            )
        ),
    }  # fmt: skip
    folder = run / "explain"
    assert expected <= {str(path.relative_to(folder)) for path in written}
    methods = ("gradcam-", "gradcam-plus-plus-", "saliency-", "integrated-gradients-")
    for method in methods:
        assert len(list(folder.glob(f"image-7/{method}[0-3].png"))) == 1
    assert {str(path) for path in written} == {str(path) for path in folder.rglob("*.png")}
    assert last == f"look first at: {folder / 'overview.png'}"
    assert "of 4 channels dead" in out and "complete within" in out
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_small_xception_is_explained(call, tmp_path: Path):
    config = SmallXceptionConfig(
        scaling="unit", stem_filters=4, stem_kernel_size=3, stem_stride=1, filters=(4, 6),
        dropout=0.3, activation="relu",
    )  # fmt: skip
    model = build_small_xception(config, (12, 12, 1), 4, 1)
    network = config.model_dump(mode="json")
    run = make_digit_run(tmp_path, "small_xception", model, network=network)
    code, out, err = call(run, "--image", "7")
    assert code == 0, err
    names = {path.name for path in (run / "explain").rglob("*.png")}
    assert {"filters-stem_conv.png", "filters-block2_1_conv.png", "overview.png"} <= names
    assert any(name.startswith("gradcam-") for name in names)
    assert "complete within" in out


def test_the_same_again_gives_the_same_bytes(run: Path, call):
    options = ("--image", "3", "--layer", "conv2")
    assert call(run, *options)[0] == 0
    first = pictures(run / "explain")
    (run / "explain" / "overview.png").write_bytes(b"old")
    assert call(run, *options)[0] == 0
    assert pictures(run / "explain") == first


def test_pictures_say_where_they_come_from(run: Path, call):
    call(run, "--image", "5", "--class", "2", "--method", "gradcam")
    with Image.open(run / "explain" / "image-5" / "gradcam-2.png") as opened:
        fields = dict(opened.info)
        assert max(opened.size) == 264  # 12 pixels, enlarged 22 times
    assert fields["experiment"] == "small_lenet" and fields["run"] == "seed1"
    assert (fields["method"], fields["class"], fields["image"]) == ("gradcam", "2", "5")
    assert (fields["layer"], fields["target"]) == ("conv2", "score")


def test_a_moved_run_is_explained_under_its_own_name(run: Path, call, tmp_path: Path, monkeypatch):
    options = ("--image", "3", "--method", "gradcam")
    assert call(run, *options)[0] == 0
    copy = copy_run(run, tmp_path / "deep" / run.name)
    monkeypatch.chdir(copy)
    assert call(".", *options, "--trust")[0] == 0
    assert (copy / "explain/overview.png").read_bytes() == (
        run / "explain/overview.png"
    ).read_bytes()


def test_without_an_image_the_most_telling_ones_are_taken(run: Path, call):
    code, out, _ = call(run, "--method", "saliency")
    assert code == 0
    with (run / "predictions.csv").open() as opened:
        rows = [
            Row(row["image"], row["truth"], row["prediction"], float(row["probability"]))
            for row in csv.DictReader(opened)
        ]
    chosen = choose_rows(rows)
    assert all(f"image-{row.name}/saliency" in out for row in chosen)
    assert out.count("saliency-") == len(chosen)


def test_telling_images_are_the_surest_of_each_kind_and_of_other_classes():
    rows = [
        Row("a", "x", "y", 0.9), Row("b", "x", "y", 0.95), Row("c", "y", "x", 0.6),
        Row("d", "x", "x", 0.99), Row("e", "x", "x", 0.98), Row("f", "y", "y", 0.7),
    ]  # fmt: skip
    assert [row.name for row in choose_rows(rows)] == ["b", "c", "d", "f"]
    assert [row.name for row in choose_rows(rows[3:5])] == ["d", "e"]


def test_photographs_are_explained_at_their_own_size(pets: Path, call):
    code, out, _ = call(pets, "--image", "cat.1.jpg", "--method", "gradcam", "--class", "dog")
    assert code == 0, out
    path = pets / "explain" / "cat-cat.1.jpg" / "gradcam-dog.png"
    with Image.open(path) as opened:
        assert opened.size == (300, 240)  # 100 x 80, enlarged 3 times
        assert opened.info["layer"] == "base/conv_b"


def test_a_file_from_elsewhere_is_explained(pets: Path, call, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "my dög.png")
    code, _, _ = call(pets, "--image", tmp_path / "my dög.png", "--method", "saliency")
    assert code == 0
    (folder,) = (pets / "explain").glob("my_d_g.png-*")
    (picture,) = folder.glob("saliency-*.png")
    with Image.open(picture) as opened:
        assert opened.size == (170, 150)


def test_classes_that_begin_with_a_sign_are_compared_as_they_are(odd_names: Path):
    run = load_run(odd_names)
    names = read_input_format(run).class_names
    assert names == ("+\\xa0cat", "-")
    rows = read_rows(run)
    assert {row.truth for row in rows} == set(names)
    assert {row.prediction for row in rows} <= set(names)
    images = [row.name for row in rows]
    subjects = find_subjects(run, read_input_format(run), images)
    assert [subject.truth for subject in subjects] == [name.split("/")[1] for name in images]
    request = Request(methods=("gradcam",))
    (column,) = make_columns([read_run(odd_names)], images, request, trust=True)[1]
    answers = [cell.is_right for cell in column.cells]
    assert answers == [row.truth == row.prediction for row in rows]
    assert any(answers)  # a network that never changes its mind is right about one of two classes


def test_files_that_tables_cannot_name_are_found(odd_names: Path, call):
    code, out, err = call(odd_names, "--method", "saliency")
    assert code == 0, err
    assert out.count("saliency-") == len(choose_rows(read_rows(load_run(odd_names))))


@pytest.mark.parametrize("name", ["dog.1 9.41\u202fAM.jpg", "dog.1 9.41\\u202fAM.jpg"])
def test_image_and_class_are_named_as_on_disk_or_as_in_the_tables(odd_names: Path, call, name):
    for class_name in ("+\u00a0cat", "+\\xa0cat"):
        options = ("--image", name, "--method", "gradcam", "--class", class_name)
        code, out, err = call(odd_names, *options)
        assert code == 0, err
        picture, *_ = out.splitlines()
        with Image.open(picture.partition("  ")[0]) as opened:
            assert opened.info["image"] == "test/-/dog.1 9.41\\u202fAM.jpg"
            assert opened.info["class"] == "+\\xa0cat"


def test_a_changed_file_that_tables_cannot_name_is_refused(odd_names: Path, call):
    section = yaml.safe_load((odd_names / "config.yaml").read_text())["data"]
    file = Path(section["path"]) / "test" / "-" / "dog.1 9.41\u202fAM.jpg"
    content = file.read_bytes()
    try:
        file.write_bytes(file.with_name("dog.0 9.41\u202fAM.jpg").read_bytes())
        code, _, err = call(odd_names, "--image", file.name)
        assert code == 3 and "AM.jpg: is not the image that the run was tested on" in err
        file.unlink()
        code, _, err = call(odd_names, "--image", file.name)
        assert code == 3 and "9.41\\u202fAM.jpg: cannot be read (No such file" in err
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("table", ["", "image,truth\n1,2\n", "image,truth\n1\n"])
def test_a_table_that_is_damaged_is_named(run: Path, call, tmp_path: Path, table: str):
    copy = copy_run(run, tmp_path / "lenet" / "copy")
    (copy / "predictions.csv").write_text(table)
    code, _, err = call(copy)
    assert code == 4 and "predictions.csv: cannot be read" in err and "Traceback" not in err


def test_an_image_that_has_changed_since_is_refused(pets: Path, call):
    section = yaml.safe_load((pets / "config.yaml").read_text())["data"]
    file = Path(section["path"]) / "test" / "dog" / "dog.2.jpg"
    content = file.read_bytes()
    other = file.with_name("dog.1.jpg").read_bytes()
    try:
        file.write_bytes(other)
        code, _, err = call(pets, "--image", "dog.2.jpg")
        assert code == 3 and "is not the image that the run was tested on" in err
        file.unlink()
        code, _, err = call(pets, "--image", "dog.2.jpg")
        assert code == 3 and "cannot be read" in err and "--image FILE" in err
    finally:
        file.write_bytes(content)


def test_without_convolutions_the_other_methods_work(dense_run: Path, call):
    code, out, _ = call(dense_run, "--image", "1")
    assert code == 0
    note = "without activations, filters, gradcam, gradcam++: the model has no convolution"
    assert f"note: {note}" in out
    assert "saliency-" in out and "integrated-gradients-" in out
    code, _, err = call(dense_run, "--image", "1", "--method", "gradcam")
    assert code == 2
    assert "no convolution; possible here: saliency, integrated-gradients" in err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--layer", "conv9"), 2, "did you mean conv"),
        (("--layer", "dense1", "--method", "gradcam"), 2, "which are no feature maps"),
        (("--class", "7"), 2, "no such class; the run has 0, 1, 2, 3"),
        (("--method", "grad-cam"), 2, "did you mean gradcam"),
        (("--image", "999"), 3, "neither an image of the run's test set nor a file"),
        (("--image", "."), 3, "a folder; give one image at a time"),
        (("--method", "filters", "--image", "1"), 2, "filters are shown without images"),
        (("--out", "somewhere"), 2, "only with --grid"),
    ],
)
def test_what_cannot_be_done_is_said(run: Path, call, options, code: int, words: str):
    answered, _, err = call(run, *options)
    assert answered == code
    assert words in err and "Traceback" not in err


def test_an_unreadable_image_is_named(run: Path, call, tmp_path: Path):
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    code, _, err = call(run, "--image", tmp_path / "page.jpg")
    assert code == 3
    assert "page.jpg: is a web page, not an image" in err


def copy_run(run: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    for file in run.iterdir():
        if file.is_file():
            (to / file.name).write_bytes(file.read_bytes())
    return to


def test_an_unfinished_run_is_refused(run: Path, call, tmp_path: Path):
    copy = copy_run(run, tmp_path / "lenet" / "copy")
    (copy / "metrics.json").unlink()
    code, _, err = call(copy)
    assert code == 4 and "not finished" in err
    assert not (copy / "explain").exists()


def test_a_model_of_another_run_is_refused(run: Path, dense_run: Path, call, tmp_path: Path):
    copy = copy_run(run, tmp_path / "lenet" / "copy")
    (copy / "model.h5").write_bytes((dense_run / "model.h5").read_bytes())
    code, _, err = call(copy)
    assert code == 4 and "model.h5" in err and "Traceback" not in err


def test_a_grid_shows_the_same_images_through_several_runs(
    run: Path, call, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
):
    other = make_digit_run(run.parent.parent, seed=2)
    code, out, _ = call(run, other, "--grid", "--image", "4", "--out", tmp_path / "grid")
    assert code == 0
    assert out.strip() == str(tmp_path / "grid" / "grid.png")
    with Image.open(tmp_path / "grid" / "grid.png") as opened:
        legend = json.loads(opened.info["comparison"])
    assert [runs[0]["run"] for runs in legend.values()] == ["seed1", "seed2"]
    code, out, _ = call(run, other, "--grid", "--out", tmp_path / "chosen")
    assert code == 0 and (tmp_path / "chosen" / "grid.png").is_file()


def test_a_grid_of_runs_without_an_image_in_common_is_refused(run: Path, pets: Path, call):
    code, _, err = call(run, pets, "--grid")
    assert code == 3 and "no test image in common" in err


def test_several_runs_without_grid_are_refused(run: Path, pets: Path, call):
    code, _, err = call(run, pets)
    assert code == 2 and "only with --grid" in err


def test_names_of_files_are_safe_and_distinct():
    assert safe_name("cat/cat.1.jpg") == "cat-cat.1.jpg"
    hostile = [safe_name(name) for name in ("../x", "a b", "a_b", "ä" * 300, ".hidden")]
    assert len(set(hostile)) == 5
    assert all(len(name) < 100 and not name.startswith(".") for name in hostile)
    assert not any("/" in name or " " in name for name in hostile)
