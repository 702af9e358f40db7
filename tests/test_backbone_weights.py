"""Weights files of a backbone: what fits is loaded, what does not is told, all of it."""

import dataclasses
import hashlib
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import h5py
import keras
import numpy as np
import pytest

from epochlab.errors import EnvironmentFault, RunError
from epochlab.models import backbones, imagenet_weights
from epochlab.models.backbone_layers import BackboneName
from epochlab.models.transfer import TransferConfig, TransferModel, build_transfer_model

SHAPE = (32, 32, 3)
KERNEL = "conv1/conv1/kernel"


def build(weights: str | Path, **changes) -> TransferModel:
    values = {
        "backbone": "mobilenet",
        "weights": str(weights),
        "output_layer": "conv_pw_13_relu",
        "image_size": None,
        "scaling": "backbone",
        "dense_units": (),
        "dropout": (),
        "activation": "relu",
    }
    config = TransferConfig(**(values | changes))
    side = 80 if config.backbone in ("xception", "inception_v3") else 32
    return build_transfer_model(config, (side, side, 3), 2, seed=7)


def save_legacy(model: keras.Model, path: Path) -> Path:
    """Writes the weights of `model` as the files that keras.applications downloads have them."""
    whole = path.with_suffix(".whole.h5")
    model.save(whole)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", target)
        for name, value in source["model_weights"].attrs.items():
            target.attrs[name] = value
    return path


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.weights]


def assert_same_weights(parts: TransferModel, model: keras.Model) -> None:
    expected = weights_of(model)
    found = weights_of(parts.backbone)
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A MobileNet whose weights are all different."""
    model = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE)
    generator = np.random.default_rng(5)
    model.set_weights([generator.random(weight.shape) for weight in model.weights])
    return model


@pytest.fixture(scope="module")
def legacy(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_legacy(network, tmp_path_factory.mktemp("weights") / "legacy.h5")


@pytest.fixture
def edit(legacy: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], object]], Path]:
    """Returns a copy of the file, changed."""

    def change(edits: Callable[[h5py.File], object]) -> Path:
        path = tmp_path / "edited.h5"
        shutil.copyfile(legacy, path)
        with h5py.File(path, "a") as opened:
            edits(opened)
        return path

    return change


def replace(opened: h5py.File, place: str, **dataset) -> None:
    del opened[place]
    opened.create_dataset(place, **dataset)


def refuse(weights: str | Path, message: str) -> str:
    with pytest.raises(RunError, match=message) as caught:
        build(weights)
    assert str(weights) in str(caught.value)
    return str(caught.value)


def test_legacy_file_is_loaded(network: keras.Model, legacy: Path):
    parts = build(legacy)
    assert_same_weights(parts, network)
    assert parts.notes == ()


def test_hash_is_that_of_the_weights_and_not_of_the_file(legacy: Path, edit):
    other_weights = edit(lambda opened: opened[KERNEL].write_direct(np.ones((3, 3, 3, 32), "f4")))
    first = build(legacy).backbone_sha256
    assert first == build(legacy).backbone_sha256
    assert build(other_weights).backbone_sha256 != first
    other_file = edit(lambda opened: opened.attrs.update(comment="another"))
    assert build(other_file).backbone_sha256 == first


def test_file_fits_whatever_the_output_layer_is(network: keras.Model, legacy: Path):
    parts = build(legacy, output_layer="conv_pw_2_relu")
    found = parts.backbone.get_layer("conv_pw_2").get_weights()[0]
    np.testing.assert_array_equal(found, network.get_layer("conv_pw_2").get_weights()[0])


@pytest.mark.parametrize("with_names", [True, False])
def test_keras_3_file_is_loaded(network: keras.Model, tmp_path: Path, with_names: bool):
    path = tmp_path / "mobilenet.weights.h5"
    network.save_weights(path)
    if not with_names:  # as Keras 3 wrote them at first
        with h5py.File(path, "a") as opened:
            for layer in opened["layers"].values():
                del layer["vars"].attrs["name"]
    assert_same_weights(build(path), network)


def test_whole_model_file_is_loaded(network: keras.Model, tmp_path: Path):
    network.save(tmp_path / "model.h5")
    assert_same_weights(build(tmp_path / "model.h5"), network)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_classifier_is_left_out_and_said_so(tmp_path: Path, suffix: str):
    model = keras.applications.MobileNet(weights=None, input_shape=SHAPE, classes=5)
    path = tmp_path / f"top{suffix}"
    if suffix == ".h5":
        save_legacy(model, path)
    else:
        model.save_weights(path)
    parts = build(path)
    found = parts.backbone.get_layer("conv_pw_13").get_weights()[0]
    np.testing.assert_array_equal(found, model.get_layer("conv_pw_13").get_weights()[0])
    assert parts.notes == (f"{path}: its classifier (conv_preds) is left out; the rest fits",)


def test_long_lists_of_names_in_pieces_are_read(network: keras.Model, edit):
    def cut(opened: h5py.File) -> None:
        names = opened.attrs["layer_names"]
        del opened.attrs["layer_names"]
        opened.attrs["layer_names0"] = names[:40].astype("S")
        opened.attrs["layer_names1"] = names[40:].astype("S")

    assert_same_weights(build(edit(cut)), network)


def test_arrays_are_found_by_name_before_order(network: keras.Model, edit):
    def turn_around(opened: h5py.File) -> None:
        names = opened["conv1_bn"].attrs["weight_names"]
        opened["conv1_bn"].attrs["weight_names"] = list(names[::-1])

    assert_same_weights(build(edit(turn_around)), network)


def test_arrays_with_the_names_of_old_keras_go_by_order(network: keras.Model, edit):
    def rename(opened: h5py.File) -> None:
        layer = opened["conv1_bn"]
        names = list(layer.attrs["weight_names"])
        for position, name in enumerate(names):
            layer.move(name, f"old_{position}:0")
        layer.attrs["weight_names"] = [f"old_{position}:0" for position in range(len(names))]

    assert_same_weights(build(edit(rename)), network)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
@pytest.mark.parametrize("backbone", ["xception", "inception_v3"])
def test_layers_that_keras_numbered_otherwise_are_found(
    tmp_path: Path, backbone: BackboneName, suffix: str
):
    keras.layers.Conv2D(1, 1)
    keras.layers.BatchNormalization()
    function = backbones.BACKBONES[backbone].function
    model = getattr(keras.applications, function)(
        include_top=False, weights=None, input_shape=(80, 80, 3)
    )
    path = tmp_path / f"numbered{suffix}"
    if suffix == ".h5":
        save_legacy(model, path)
    else:
        model.save_weights(path)
    output_layer = {"xception": "add_2", "inception_v3": "mixed9"}[backbone]
    parts = build(path, backbone=backbone, output_layer=output_layer)
    given = {lasting: name for name, lasting in backbones.lasting_names(model).items()}
    assert given["conv2d"] != "conv2d"
    for layer in parts.backbone.layers[1:]:
        expected = model.get_layer(given[layer.name]).get_weights()
        for one, two in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, two)
    pixels = np.random.default_rng(1).random((2, 80, 80, 3))
    features = model.get_layer(given[output_layer]).output
    expected = keras.Model(model.input, features).predict_on_batch(pixels)
    found = parts.backbone.predict_on_batch(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif("EPOCHLAB_VGG16_WEIGHTS" not in os.environ, reason="needs a VGG16 weights file")
def test_pretrained_vgg16_is_loaded_as_keras_loads_it():
    path = os.environ["EPOCHLAB_VGG16_WEIGHTS"]
    parts = build(path, backbone="vgg16", output_layer="block5_pool")
    expected = keras.applications.VGG16(include_top=False, weights=path, input_shape=SHAPE)
    assert_same_weights(parts, expected)


def test_all_mismatches_are_told_at_once(edit):
    def spoil(opened: h5py.File) -> None:
        kernel = opened[KERNEL][()]
        replace(opened, KERNEL, data=kernel.T)
        gamma = opened["conv1_bn/conv1_bn/gamma"][()]
        gamma[:3] = np.nan, np.inf, -np.inf
        opened["conv1_bn/conv1_bn/gamma"][:] = gamma
        replace(opened, "conv_pw_1/conv_pw_1/kernel", data=np.ones((1, 1, 32, 65), "f4"))
        replace(opened, "conv_pw_2/conv_pw_2/kernel", data=np.ones((1, 1, 64, 128), "f8"))
        names = opened.attrs["layer_names"]
        opened.attrs["layer_names"] = ["extra", *(n for n in names if n != "conv_pw_3")]
        opened["conv_pw_4_bn"].attrs["weight_names"] = ["conv_pw_4_bn/gamma"]
        opened.create_group("extra").attrs["weight_names"] = ["kernel"]
        opened["extra/kernel"] = np.ones(3, "f4")

    path = edit(spoil)
    lines = refuse(path, "these are not weights of mobilenet, 7 things do not fit").splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:-1]]
    assert cells == [
        ["layer", "expected", "found"],
        ["conv_pw_3", "kernel", "missing"],
        ["extra", "no such layer", "1 array"],
        ["conv1/kernel", "float32 (3, 3, 3, 32)", "float32 (32, 3, 3, 3), transposed?"],
        ["conv1_bn/gamma", "float32 (32,)", "3 of 32 values NaN or infinite"],
        ["conv_pw_1/kernel", "float32 (1, 1, 32, 64)", "float32 (1, 1, 32, 65)"],
        ["conv_pw_2/kernel", "float32 (1, 1, 64, 128)", "float64 (1, 1, 64, 128)"],
        ["conv_pw_4_bn", "4 arrays: gamma, beta, moving_mean, moving_variance", "1: gamma"],
    ]


def test_file_of_another_backbone_is_refused(legacy: Path):
    with pytest.raises(RunError, match=r"not weights of vgg16, \d+ things do not fit"):
        build(legacy, backbone="vgg16", output_layer="block5_pool")


def test_layer_that_is_named_twice_is_refused(edit):
    def double(opened: h5py.File) -> None:
        opened.attrs["layer_names"] = [*opened.attrs["layer_names"], "conv1"]

    refuse(edit(double), "two layers of this name")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<html>404 not found</html>", "is a text file"),
        (b"PK\x03\x04rest", "is a zip, as .keras files are"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x00\x01\x02\x03", "is no HDF5 file"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    refuse(path, message)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_file_is_refused(legacy: Path, tmp_path: Path, share: float):
    path = tmp_path / "cut.h5"
    whole = legacy.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refuse(path, "damaged or cut off")


def test_what_is_no_file_is_refused(tmp_path: Path):
    refuse(tmp_path / "missing.h5", "No such file")
    refuse(tmp_path, "is no regular file")
    os.mkfifo(tmp_path / "pipe.h5")
    refuse(tmp_path / "pipe.h5", "is no regular file")


def test_hdf5_without_layers_is_refused(tmp_path: Path):
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["pixels"] = np.ones(3)
    refuse(tmp_path / "other.h5", "is no weights file of Keras: .* found pixels")


@pytest.mark.parametrize("link", [h5py.SoftLink("/elsewhere"), h5py.ExternalLink("a.h5", "/x")])
@pytest.mark.parametrize("place", [KERNEL, "conv1"])
def test_links_are_refused(edit, link, place: str):
    def point(opened: h5py.File) -> None:
        opened.move(place, "elsewhere")
        opened[place] = link

    refuse(edit(point), "is a link; links are not followed")


def test_arrays_in_other_files_are_refused(edit, tmp_path: Path):
    layout = h5py.VirtualLayout((3, 3, 3, 32), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "source.h5", "x", (3, 3, 3, 32))

    def make_virtual(opened: h5py.File) -> None:
        del opened[KERNEL]
        opened.create_virtual_dataset(KERNEL, layout)

    refuse(edit(make_virtual), "lies in other files")
    (tmp_path / "raw").write_bytes(bytes(4 * 864))
    outside = {"external": [(str(tmp_path / "raw"), 0, 4 * 864)]}
    refuse(
        edit(lambda opened: replace(opened, KERNEL, shape=(3, 3, 3, 32), dtype="f4", **outside)),
        "lies in other files",
    )


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        ({"shape": (3, 3, 3, 32), "dtype": h5py.string_dtype()}, "object"),
        ({"shape": (3, 3, 3, 32), "dtype": h5py.ref_dtype}, "object"),
        ({"shape": (3, 3, 3, 32), "dtype": "i4"}, "int32"),
        ({"shape": (3, 3, 3, 32), "dtype": "f4"}, "no values stored"),
        ({"data": h5py.Empty("f4")}, "float32 None"),
        ({"shape": (2**20, 2**20), "dtype": "f4", "chunks": (64, 64)}, r"\(1048576, 1048576\)"),
        (
            {
                "data": np.ones((3, 3, 3, 32), "f4"),
                "chunks": (3, 3, 3, 2**17),
                "maxshape": (3, 3, 3, None),
                "compression": "gzip",
            },
            "in chunks of",
        ),
    ],
)
def test_what_is_no_plain_array_is_refused_and_not_read(edit, dataset: dict, found: str):
    refuse(edit(lambda opened: replace(opened, KERNEL, **dataset)), f"conv1/kernel .*{found}")


def test_absurd_lists_of_names_are_refused(edit):
    def grow(opened: h5py.File) -> None:
        del opened.attrs["layer_names"]
        opened.attrs["layer_names"] = np.full(6_000, b"conv")

    refuse(edit(grow), "6000 entries")
    refuse(edit(lambda opened: opened.attrs.update(layer_names=np.ones(3))), "expected names")


def test_compressed_float32_in_the_other_byte_order_is_loaded(network: keras.Model, edit):
    def repack(opened: h5py.File) -> None:
        replace(opened, KERNEL, data=opened[KERNEL][()].astype(">f4"), compression="gzip")

    assert_same_weights(build(edit(repack)), network)


def test_bad_file_costs_no_memory(edit):
    path = edit(lambda opened: replace(opened, KERNEL, shape=(2**40,), dtype="f4", chunks=(2**10,)))
    refuse(path, "not weights")
    tracemalloc.start()
    refuse(path, "not weights")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's own folder for weights, empty, on a machine that is offline."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def fail(*_, **__) -> None:
        raise Exception("URL fetch failure on ... -- [Errno -3] Temporary failure")  # as Keras does

    monkeypatch.setattr(keras.utils, "get_file", fail)
    return tmp_path / "models"


@pytest.mark.parametrize("backbone", get_args(BackboneName))
def test_imagenet_weights_are_the_ones_that_keras_downloads(
    backbone: BackboneName, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def note(*arguments, **settings) -> None:
        asked.append((arguments, settings))
        raise Exception("enough")

    monkeypatch.setattr(keras.utils, "get_file", note)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", note)
    network = backbones.BACKBONES[backbone]
    with pytest.raises(EnvironmentFault, match="enough"):
        imagenet_weights.fetch_imagenet_weights(network.published, (128, 128, 3))
    with pytest.raises(Exception, match="enough"):
        getattr(keras.applications, network.function)(include_top=False, input_shape=(128, 128, 3))
    (own_file, own), (kerass_file, kerass) = asked
    assert own_file == kerass_file
    assert own["file_hash"] == kerass.get("file_hash")
    assert own["cache_subdir"] == kerass["cache_subdir"] == "models"
    assert own["cache_dir"] == str(cache.parent)


def test_other_sizes_take_mobilenets_largest_file(cache: Path):
    published = backbones.BACKBONES["mobilenet"].published
    for shape, side in (((160, 160, 3), 160), ((150, 150, 3), 224), ((128, 160, 3), 224)):
        with pytest.raises(EnvironmentFault, match=f"mobilenet_1_0_{side}_tf_no_top.h5"):
            imagenet_weights.fetch_imagenet_weights(published, shape)


def test_offline_message_says_what_to_fetch_and_where_to_put_it(cache: Path):
    with pytest.raises(EnvironmentFault) as caught:
        build("imagenet", backbone="vgg16", output_layer="block5_pool")
    name = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"fetch https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{name}",
        f"put it at {cache / name}",
        "MD5 is 6d6bbae143d832006294945121d1f1fc",
        "[Errno -3]",
    ):
        assert part in message


def test_cached_file_with_another_hash_is_kept_and_told(cache: Path):
    path = cache / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    found = hashlib.md5(b"half of it").hexdigest()
    with pytest.raises(RunError, match=f"its MD5 is {found}, expected 6d6bbae1.*delete it"):
        build("imagenet", backbone="vgg16", output_layer="block5_pool")
    assert path.read_bytes() == b"half of it"


def test_cached_file_with_the_right_hash_is_loaded(
    cache: Path, legacy: Path, network: keras.Model, monkeypatch: pytest.MonkeyPatch
):
    path = cache / "mobilenet_1_0_224_tf_no_top.h5"
    path.parent.mkdir()
    shutil.copyfile(legacy, path)
    mobilenet = backbones.BACKBONES["mobilenet"]
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    published = dataclasses.replace(mobilenet.published, md5=md5)
    changed = dataclasses.replace(mobilenet, published=published)
    monkeypatch.setitem(backbones.BACKBONES, "mobilenet", changed)
    assert_same_weights(build("imagenet"), network)


def test_download_that_fails_its_hash_leaves_nothing(cache: Path, monkeypatch, capsys):
    def save_a_login_page(name: str, *_, cache_dir: str, cache_subdir: str, **__) -> None:
        print("\r[=====>     ]")
        (Path(cache_dir) / cache_subdir / name).write_text("<html>please log in</html>")
        raise ValueError("Incomplete or corrupted file detected.")

    monkeypatch.setattr(keras.utils, "get_file", save_a_login_page)
    with pytest.raises(EnvironmentFault, match="Incomplete or corrupted"):
        build("imagenet")
    assert list(cache.iterdir()) == []
    printed = capsys.readouterr().out
    assert printed.startswith("downloading https://") and "\r" not in printed
