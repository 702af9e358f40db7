"""Rows 36 to 38: weights files, and models that would run code."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from case import Case, Cases, Place
from command import Command, epochlab, script

cases = Cases()
KERNEL = "conv1/conv1/kernel"


def make_weights(path: Path) -> None:
    """Writes a few layers of a MobileNet, in the format of keras.applications."""
    names = {
        "conv1": {"kernel": (3, 3, 3, 32)},
        "conv1_bn": {name: (32,) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        "conv_pw_1": {"kernel": (1, 1, 32, 64)},
        "conv_pw_2": {"kernel": (1, 1, 64, 128)},
    }
    with h5py.File(path, "w") as opened:
        opened.attrs["layer_names"] = list(names)
        for layer, arrays in names.items():
            group = opened.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{name}" for name in arrays]
            for name, shape in arrays.items():
                group[f"{layer}/{name}"] = np.ones(shape, "f4")


def load(place: Place) -> Command:
    (place.path / "digits.npz").write_bytes(place.workshop.digits.read_bytes())
    settings = [
        "data.path=digits.npz",
        "model.backbone=mobilenet",
        "model.output_layer=conv_pw_13_relu",
        "model.image_size=[32, 32]",
        "model.weights=bad.h5",
    ]
    return Command(script("vgg16_mnist", settings=settings))


def spoil(opened: h5py.File) -> None:
    kernel = opened[KERNEL][()]
    del opened[KERNEL]
    opened[KERNEL] = kernel.T
    opened["conv1_bn/conv1_bn/gamma"][:3] = np.nan, np.inf, -np.inf
    del opened["conv_pw_1/conv_pw_1/kernel"]
    opened.create_dataset("conv_pw_1/conv_pw_1/kernel", (2**16, 2**14), dtype="f4", chunks=(64, 64))
    del opened["conv_pw_2/conv_pw_2/kernel"]
    opened["conv_pw_2/conv_pw_2/kernel"] = np.ones((1, 1, 64, 128), "f8")
    del opened["conv1_bn/conv1_bn/beta"]
    opened.create_dataset("conv1_bn/conv1_bn/beta", (32,), dtype=h5py.string_dtype())
    opened.attrs["layer_names"] = [*opened.attrs["layer_names"], "extra"]
    opened.create_group("extra").attrs["weight_names"] = ["kernel"]
    opened["extra/kernel"] = np.ones(3, "f4")


def make_misfits(place: Place) -> Command:
    make_weights(place.path / "bad.h5")
    with h5py.File(place.path / "bad.h5", "a") as opened:
        spoil(opened)
    return load(place)


def misfit(row: int, name: str, *says: str) -> None:
    """One line of the table that tells of all that does not fit."""
    says = ("bad.h5", "not weights of mobilenet", *says)
    more = {"loads": "tensorflow", "seconds": 8.0, "once": "misfits"}
    cases.listed.append(Case(row, name, make_misfits, 4, says, **more))


misfit(36, "transposed kernel", "(32, 3, 3, 3), transposed?")
misfit(36, "NaN and infinite weights", "3 of 32 values NaN or infinite")
misfit(36, "missing layer", "conv_pw_3", "missing")
misfit(36, "layer too many", "extra", "no such layer")
misfit(36, "float64 for float32", "float64 (1, 1, 64, 128)")
misfit(37, "array of 4 GiB that is not there", "(65536, 16384)")
misfit(37, "array of objects", "object")


def refused(name: str, make: Callable[[Path], object], *says: str) -> None:
    """A weights file that is refused by what it is."""

    def command(place: Place) -> Command:
        make(place.path / "bad.h5")
        return load(place)

    more = {"loads": "tensorflow", "seconds": 8.0}
    cases.listed.append(Case(37, name, command, 4, ("bad.h5", *says), **more))


def cut(path: Path) -> None:
    make_weights(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def link(path: Path) -> None:
    make_weights(path)
    with h5py.File(path, "a") as opened:
        del opened[KERNEL]
        opened[KERNEL] = h5py.ExternalLink("/etc/passwd", "/x")


refused("weights of 0 bytes", lambda path: path.write_bytes(b""), "is empty (0 bytes)")
refused(".keras named .h5", lambda path: path.write_bytes(b"PK\3\4..."), "is a zip, as .keras")
refused("weights cut in half", cut, "damaged or cut off")
refused("link to another file", link, "is a link; links are not followed")


def model(name: str, edit: Callable[[dict], object], *says: str) -> None:
    """A run whose `model.h5` has been exchanged for one that would run code or read files."""

    def command(place: Place) -> Command:
        run = place.workshop.copy_run(place.workshop.finished_run, place.path)
        with h5py.File(run / "model.h5", "a") as opened:
            config = json.loads(opened.attrs["model_config"])
            edit(config)
            opened.attrs["model_config"] = json.dumps(config)
        (place.path / "x.png").write_bytes(_picture())
        return Command(epochlab("predict", run.relative_to(place.path), "x.png"))

    more = {"loads": "tensorflow", "seconds": 8.0}
    cases.listed.append(Case(38, name, command, 4, ("model.h5", *says), **more))


def _picture() -> bytes:
    from photographs import encode, picture

    return encode(picture(0), "PNG")


def exchange(name: str, **config: object) -> Callable[[dict], object]:
    """Puts another class in the place of the model's first layer after the input."""

    def edit(model_config: dict) -> None:
        layer = model_config["config"]["layers"][1]
        layer["class_name"] = name
        layer["config"] = {"name": layer["config"]["name"], **config}
        layer.pop("module", None)
        layer.pop("registered_name", None)

    return edit


CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAA==", "defaults": None}}
model("Lambda layer", exchange("Lambda", function=CODE))
model("class of somebody else", exchange("Foreign"), "Foreign")
model("TFSMLayer with a path", exchange("TFSMLayer", filepath="/etc", call_endpoint="x"))
model("StringLookup that reads a file", exchange("StringLookup", vocabulary="/etc/passwd"))


CASES = cases.listed
