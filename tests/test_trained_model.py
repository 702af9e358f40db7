"""Models of finished runs: built from the run's config, numbers read from a file not trusted."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CONFIGS,
    assert_as_keras_loads_it,
    load_experiment,
    make_digits,
    make_photographs,
)

from epochlab.config import dump_config
from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import RunError
from epochlab.hashing import weights_sha256
from epochlab.models.backbone_layers import split_number
from epochlab.models.families import FAMILIES, find_family
from epochlab.results import _h5_image
from epochlab.runs import Run, load_run
from epochlab.session import ExperimentConfig
from epochlab.trained_model import load_trained_model

FIVE_BLOCKS = "model.filters=[2, 3, 4, 5, 6]"
SHIPPED = [*CONFIGS.glob("*.yaml"), *(CONFIGS / "recipes").glob("*.yaml")]


def build(config: ExperimentConfig, image_shape: tuple[int, int, int], num_classes: int):
    """Builds the network of a config as its script does, in the config's precision."""
    settings = config.model_dump(mode="json")
    found = find_family(settings["model"])
    assert found is not None
    keras.config.set_dtype_policy(settings["training"]["precision"])
    try:
        return found[0].build(found[1], image_shape, num_classes, config.seed)
    finally:
        keras.config.set_dtype_policy("float32")


def record(
    folder: Path,
    config: ExperimentConfig,
    image_shape: tuple[int, int, int] = (14, 12, 1),
    num_classes: int = 3,
    model: keras.Model | None = None,
) -> Run:
    """Writes what a finished run has and its model needs; the weights are all different."""
    model = build(config, image_shape, num_classes) if model is None else model
    generator = np.random.default_rng(3)
    for weight in model.weights:
        # Variances among them, which are not below zero.
        weight.assign(np.abs(generator.normal(0.1, 0.05, weight.shape)))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(config))
    described = {"image_shape": image_shape, "class_names": list("abcdefghij"[:num_classes])}
    (folder / "data.json").write_text(json.dumps(described))
    (folder / "model.h5").write_bytes(_h5_image(model))
    (folder / "metrics.json").write_text(json.dumps({"weights_sha256": weights_sha256(model)}))
    return load_run(folder)


def lenet(*settings: str) -> ExperimentConfig:
    small = ("model.filters=[3, 4]", "model.dense_units=5", "model.kernel_size=3")
    return load_experiment("lenet_mnist", *small, *settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of a small LeNet. Do not change it."""
    return record(tmp_path_factory.mktemp("runs") / "lenet", lenet())


@pytest.fixture
def broken(run: Run, tmp_path: Path) -> Run:
    """A copy of the run, to be damaged."""
    shutil.copytree(run.path, tmp_path / "broken")
    return Run(tmp_path / "broken")


@pytest.fixture
def edit(broken: Run) -> Callable[[Callable[[h5py.File], object]], Run]:
    """Changes the model file of the copy."""

    def change(edits: Callable[[h5py.File], object]) -> Run:
        with h5py.File(broken.path / "model.h5", "a") as opened:
            edits(opened)
        return broken

    return change


def refuse(run: Run, *words: str) -> str:
    with pytest.raises(RunError) as caught:
        load_trained_model(run)
    for word in (str(run.path), *words):
        assert word in str(caught.value)
    return str(caught.value)


# What is loaded.


@pytest.mark.parametrize("path", sorted(SHIPPED), ids=lambda path: path.stem)
def test_each_shipped_config_belongs_to_one_family(path: Path):
    section = read_yaml(path).values["model"]
    fitting = []
    for family in FAMILIES:
        try:
            family.config.model_validate_json(json.dumps(section))
        except ValueError:
            continue
        fitting.append(family)
    assert len(fitting) == 1
    found = find_family(section)
    assert found is not None
    assert found[0] is fitting[0]


def test_no_two_families_have_the_same_settings():
    settings = [frozenset(family.config.model_fields) for family in FAMILIES]
    assert len(set(settings)) == len(FAMILIES)


def test_a_convnet_of_before_padding_and_batch_norm_is_found():
    config = load_experiment("convnet_mnist")
    section = config.model_dump(mode="json")["model"]
    before = {key: value for key, value in section.items() if key not in ("padding", "batch_norm")}
    assert find_family(before) == find_family(section)


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [
        ("mlp_mnist_tanh", ["model.dense_units=[6, 5, 4]"]),
        ("mlp_mnist_relu", []),
        ("convnet_deep_head_mnist", ["model.dense_units=[6, 5, 4]"]),
        ("convnet_mnist", []),
        ("custom_dense_mnist", []),
        ("lenet_mnist", ["model.scaling=centred", "training.precision=mixed_bfloat16"]),
        ("custom_dense_mnist", ["training.precision=mixed_bfloat16"]),
        (
            "mnist_recipe",
            [
                "model.filters=[2, 2, 3, 3, 4, 4, 4]",
                "model.padding=same",
                "training.precision=mixed_bfloat16",
            ],
        ),
    ],
)
def test_model_predicts_as_the_saved_one_to_the_bit(experiment, settings, tmp_path: Path):
    config = load_experiment(experiment, *settings)
    assert_as_keras_loads_it(record(tmp_path / "run", config, (24, 24, 1), 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cats_dogs_baseline", ["model.dense_units=[7]"]),
        ("cats_dogs_augmented", ["model.dense_units=[7]"]),
        ("cats_dogs_recipe", [FIVE_BLOCKS, "training.precision=float32"]),
        ("cats_dogs_recipe", [FIVE_BLOCKS, "training.precision=mixed_bfloat16"]),
    ],
)
def test_photographs_model_predicts_as_the_saved_one_to_the_bit(name, settings, tmp_path: Path):
    config = load_experiment(name, "data.image_size=[46, 46]", *settings)
    assert_as_keras_loads_it(record(tmp_path / "run", config, (46, 46, 3), 2))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenet", "resnet50", "vgg16"])
def test_transfer_model_needs_no_pretrained_file(backbone: str, tmp_path: Path):
    """Grey images, made larger; a layer frozen and a layer not, which changes the file's order."""
    last = {"mobilenet": "conv_pw_3_relu", "resnet50": "conv2_block1_out", "vgg16": "block2_pool"}
    settings = (
        f"model={{backbone: {backbone}, weights: gone.h5, output_layer: {last[backbone]}, "
        "image_size: [32, 40], scaling: backbone, dense_units: [3], dropout: [0.5], "
        "activation: relu}",
        "training.precision=mixed_bfloat16",
    )
    config = load_experiment("vgg16_mnist", *settings)
    model = build(config, (10, 12, 1), 2)
    model.get_layer(backbone).layers[1].trainable = False
    assert_as_keras_loads_it(record(tmp_path / "run", config, (10, 12, 1), 2, model))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["vgg16_mnist", "cats_dogs_vgg16_frozen"])
def test_trained_transfer_run_predicts_as_the_saved_one_to_the_bit(
    experiment: str, run_script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other experiments' runs are compared where they are trained."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    changes = ["model.weights=none", "model.dense_units=[3]", "model.dropout=[0.5]"]
    changes += ["training.batch_size=4", "training.steps_per_epoch=2", "phases.0.epochs=1"]
    if experiment == "vgg16_mnist":
        data = make_digits(tmp_path / "digits.npz", train=20, test=8)
        changes += ["model.image_size=[32, 32]"]
    else:
        data = make_photographs(tmp_path / "photographs", train=4, validation=2, test=2)
        changes += ["data.image_size=[32, 32]"]
    settings = [word for change in (*changes, f"data.path={data}") for word in ("--set", change)]
    finished = run_script(experiment, *settings)
    assert finished.returncode == 0, finished.stderr
    place = finished.stdout.splitlines()[-1].removeprefix("run: ")
    assert_as_keras_loads_it(load_run(tmp_path / place))


def test_loading_changes_nothing_of_the_process(tmp_path: Path):
    run = record(tmp_path / "run", lenet("training.precision=mixed_bfloat16"))
    before = split_number(keras.layers.Dense(1).name)
    load_trained_model(run)
    assert split_number(keras.layers.Dense(1).name) == (before[0], before[1] + 1)
    assert keras.config.dtype_policy().name == "float32"


# Files that are refused.


def test_every_mismatch_is_told_at_once(edit):
    def damage(opened: h5py.File) -> None:
        weights = opened["model_weights"]
        kernel = weights["dense1/dense1/kernel"][()]
        del weights["dense1/dense1/kernel"], weights["conv1/conv1/bias"]
        weights["dense1/dense1/kernel"] = kernel.T
        weights["conv1/conv1/bias"] = np.zeros(3, "f8")
        weights["conv2"].attrs["weight_names"] = [b"conv2/kernel"]
        weights.create_group("more")["array"] = np.ones(2, "f4")
        weights["more"].attrs["weight_names"] = [b"array"]
        weights.attrs["layer_names"] = [*weights.attrs["layer_names"], "more"]

    message = refuse(edit(damage), "4 things do not fit", "bring the run's own file back")
    table = {tuple(re.split("  +", line.strip())) for line in message.splitlines()[2:-1]}
    assert table == {
        ("dense1/kernel", "float32 (36, 5)", "float32 (5, 36), transposed?"),
        ("conv1/bias", "float32 (3,)", "float64 (3,)"),
        ("conv2/bias", "float32 (4,)", "missing"),
        ("array", "no such array", "float32 (2,)"),
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model.activation=tanh"], ["conv1.activation", "relu", "tanh"]),
        (["model.scaling=raw"], ["scaling.scale", "1.0"]),
        (["model.data_format=channels_first"], ["layers", "to_channels_first"]),
        (["training.precision=mixed_bfloat16"], ["dtype", "bfloat16"]),
    ],
)
def test_config_of_another_network_with_the_same_weights_is_refused(settings, words, broken: Run):
    """The weights would fit, and the predictions be wrong without a word."""
    (broken.path / "config.yaml").write_text(dump_config(lenet(*settings)))
    refuse(broken, "is not the model that this run's config describes", *words)


@pytest.mark.parametrize("content", [None, "{", "[]", "[" * 100_000, "{}"])
def test_file_without_a_description_of_its_model_is_refused(content, edit):
    def change(opened: h5py.File) -> None:
        del opened.attrs["model_config"]
        if content is not None:
            opened.attrs["model_config"] = content

    refuse(edit(change), "model_config")


def test_values_that_are_not_finite_are_counted(edit):
    def damage(opened: h5py.File) -> None:
        opened["model_weights/dense1/dense1/kernel"][0, :2] = np.nan, np.inf

    refuse(edit(damage), "dense1/kernel", "2 of 180 values NaN or infinite")


def test_weights_of_another_run_are_refused_by_their_hash(edit):
    def change(opened: h5py.File) -> None:
        opened["model_weights/dense1/dense1/bias"][0] = 7

    refuse(edit(change), "are not those of this run")


KERNEL = "model_weights/dense1/dense1/kernel"


@pytest.mark.parametrize("link", [h5py.SoftLink("/elsewhere"), h5py.ExternalLink("a.h5", "/x")])
@pytest.mark.parametrize("place", [KERNEL, "model_weights/dense1", "model_weights"])
def test_links_are_not_followed(link, place: str, edit):
    def point(opened: h5py.File) -> None:
        opened.move(place, "elsewhere")
        opened[place] = link

    refuse(edit(point), "is a link")


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        ({"dtype": h5py.string_dtype()}, "object"),
        ({"dtype": h5py.ref_dtype}, "object"),
        ({"dtype": "f4"}, "no values stored"),
        ({"dtype": "f4", "external": [("outside", 0, 4 * 180)]}, "lies in other files"),
    ],
)
def test_what_is_no_plain_array_is_not_read(dataset: dict, found: str, edit):
    def replace(opened: h5py.File) -> None:
        del opened[KERNEL]
        opened.create_dataset(KERNEL, (36, 5), **dataset)

    refuse(edit(replace), found)


def test_virtual_array_is_not_read(edit, tmp_path: Path):
    layout = h5py.VirtualLayout((36, 5), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "source.h5", "x", (36, 5))

    def replace(opened: h5py.File) -> None:
        del opened[KERNEL]
        opened.create_virtual_dataset(KERNEL, layout)

    refuse(edit(replace), "lies in other files")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "0 bytes"), (b"text", "is a text file"), (b"PK\3\4", "is a zip")],
)
def test_other_files_are_refused_by_what_they_are(content: bytes, words: str, broken: Run):
    (broken.path / "model.h5").write_bytes(content)
    refuse(broken, words)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_cut_file_is_refused(share: float, broken: Run):
    path = broken.path / "model.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuse(broken)


# Memory.


def bomb(folder: Path, units: int) -> Run:
    """A run whose config asks for `units`, and a small file that declares as many."""
    model = f"model={{scaling: unit, dense_units: [{units}], activation: relu, dropout: [0]}}"
    config = load_experiment("mlp_mnist_relu", model)
    small = load_experiment("mlp_mnist_relu", model.replace(str(units), "2"))
    run = record(folder, small, (28, 28, 1), 10)
    (folder / "config.yaml").write_text(dump_config(config))
    with h5py.File(folder / "model.h5", "a") as opened:
        text = opened.attrs["model_config"].replace('"units": 2', f'"units": {units}')
        opened.attrs["model_config"] = text.replace("[null, 2]", f"[null, {units}]")
        weights = opened["model_weights"]
        for place, shape in (
            ("dense1/dense1/kernel", (784, units)),
            ("dense1/dense1/bias", (units,)),
            ("predictions/predictions/kernel", (units, 10)),
        ):
            del weights[place]
            bombed = weights.create_dataset(
                place,
                shape,
                "f4",
                chunks=(1,) * (len(shape) - 1) + (1000,) if shape[-1] > 10 else (100, 10),
                compression="gzip",
            )
            bombed[(0,) * len(shape)] = 1
    return run


@pytest.mark.slow
@pytest.mark.parametrize("units", [1_320_000, 10**12])
def test_bomb_of_billions_of_bytes_is_refused_with_little_memory(units: int, tmp_path: Path):
    """1,320,000 units are 3.9 GiB of weights, which Keras's own guard lets pass."""
    run = bomb(tmp_path / "run", units)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from epochlab.process import load_tensorflow\n"
        "load_tensorflow()\n"
        "from epochlab.errors import RunError\n"
        "from epochlab.runs import Run\n"
        "from epochlab.trained_model import load_trained_model\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try:\n"
        "    load_trained_model(Run(Path(sys.argv[1])))\n"
        "except RunError as error:\n"
        "    print(error)\n"
        "print((peak() - before) // 1024)\n"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "bytes of weights" in printed, printed
    assert int(printed.splitlines()[-1]) < 150, printed


# What a file may do once it is trusted.


def marked_run(folder: Path, tmp_path: Path) -> Run:
    """A run of a network of no family here, whose file holds code that leaves a mark."""
    mark = tmp_path / "executed"
    code = eval(f"lambda pixels: [pixels, open({str(mark)!r}, 'w').close()][0]")
    pixels = keras.Input((6, 5, 1))
    flat = keras.layers.Flatten()(keras.layers.Lambda(code)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(flat))
    run = record(folder, lenet(), (6, 5, 1), 3, model)
    mark.unlink()
    settings = "seed: 1\ndata: {path: null}\nmodel: {depth: 3}\ntraining: {precision: float32}\n"
    (folder / "config.yaml").write_text(settings)
    return run


def test_code_in_a_file_runs_only_if_the_file_is_trusted(tmp_path: Path):
    run = marked_run(tmp_path / "run", tmp_path)
    refuse(run, "no model family of Epochlab has these settings (depth)", "--trust")
    assert not (tmp_path / "executed").exists()
    load_trained_model(run, trust=True)
    assert (tmp_path / "executed").exists()


def test_code_in_the_file_of_a_known_family_never_runs(tmp_path: Path):
    run = marked_run(tmp_path / "run", tmp_path)
    (run.path / "config.yaml").write_text(dump_config(lenet()))
    refuse(run, "is not the model that this run's config describes", "lambda")
    assert not (tmp_path / "executed").exists()


def test_trusted_file_still_has_to_be_that_of_the_run(tmp_path: Path):
    run = marked_run(tmp_path / "run", tmp_path)
    run.write_json("metrics.json", {"weights_sha256": "0" * 64})
    with pytest.raises(RunError, match="are not those of this run"):
        load_trained_model(run, trust=True)


# Records that are damaged.


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("config.yaml", "a: [", "config.yaml:1"),
        ("config.yaml", "[]", "a list"),
        ("config.yaml", "data: {}\nseed: 1\ntraining: {precision: float32}", "model"),
        ("config.yaml", "data: {}\nseed: -1\nmodel: {}\ntraining: {precision: float32}", "seed"),
        ("config.yaml", "data: {}\nseed: 1\nmodel: {}\ntraining: {precision: half}", "precision"),
        ("config.yaml", "data: {}\nseed: 1\nmodel: []\ntraining: {precision: float32}", "model"),
        ("data.json", "{}", "image_shape"),
        ("data.json", "\0", "data.json"),
        ("data.json", '{"image_shape": [1, 1, 1], "class_names": ["a", "b", "c"]}', "pool"),
        ("data.json", '{"image_shape": [1e400, 1, 1], "class_names": ["a", "b"]}', "image_shape"),
        ("metrics.json", "{", "metrics.json"),
        ("metrics.json", "[]", "metrics.json"),
        ("metrics.json", "{}", "None"),
        ("metrics.json", '{"weights_sha256": [1, {}]}', "[1, {}]"),
    ],
)
def test_damaged_record_is_refused(name: str, content: str, word: str, broken: Run):
    (broken.path / name).write_text(content)
    refuse(broken, word)


def test_setting_of_a_known_family_out_of_range_is_named(broken: Run):
    text = broken.config_path.read_text().replace("kernel_size: 3", "kernel_size: 0")
    broken.config_path.write_text(text)
    refuse(broken, "model.kernel_size: Input should be greater than 0")


def test_image_shape_beyond_all_bounds_is_refused(broken: Run):
    shape = [2**40, 2**40, 3]
    broken.write_json("data.json", {"image_shape": shape, "class_names": ["a", "b", "c"]})
    refuse(broken)


@pytest.mark.parametrize("name", ["data.json", "metrics.json"])
def test_record_that_is_no_file_or_huge_is_not_read(name: str, broken: Run):
    path = broken.path / name
    path.unlink()
    with path.open("wb") as opened:
        opened.truncate(50_000_000_000)
    refuse(broken, "50,000,000,000 bytes")
    path.unlink()
    path.symlink_to("/dev/zero")
    refuse(broken, name)
