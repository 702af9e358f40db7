"""What `fuzz.py` feeds: the readers of files that are not trusted, and good files to begin with."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from epochlab.config import load_config
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.errors import EpochlabError
from epochlab.models.lenet import LeNetConfig
from epochlab.session import ExperimentConfig
from epochlab.training_config import TrainingConfig

CONFIGS = Path(__file__).parent.parent / "configs"
# Where the mutations are to try something that chance would not find soon.
YAML_WORDS = (
    b"!!python/object/apply:os.system [id]", b"&a", b"*a", b"---\n", b"...\n", b"%YAML 1.1\n",
    b"? ", b": ", b"- ", b"[", b"]", b"{", b"}", b"|\n", b">\n", b'"', b"'", b"\\x1b", b"\t", b"\0",
    b"#", b"<<: ", b"\xef\xbb\xbf", b"\xff\xfe", b"1e999", b".nan", b"0x10", b"~", b"\r\n",
    b"\xe2\x80\xa8",
)  # fmt: skip
BINARY_WORDS = (
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80",
    b"\1\0\0\0", b"\0" * 8, b"\xff" * 8, b"PK\1\2", b"PK\3\4", b"PK\5\6", b"IDAT", b"IHDR", b"tRNS",
    b"\xff\xd8", b"\xff\xda", b"\xff\xc2", b"OHDR", b"TREE", b"SNOD", b"HEAP", b"GCOL", b"|O",
    b"(99999999999,)",
)  # fmt: skip


class Experiment(ExperimentConfig):
    """A whole config."""

    data: MnistConfig
    model: LeNetConfig
    training: TrainingConfig


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: Good files.
        read: Reads a file; an `EpochlabError` is an answer, anything else a finding.
        words: What is put into files.
        megabytes: Memory that reading may take.
    """

    seeds: list[bytes]
    read: Callable[[Path], object]
    words: tuple[bytes, ...]
    megabytes: int


def make_target(name: str) -> Target:
    """Returns the reader `name`: yaml, npz, image or h5."""
    return {"yaml": _yaml, "npz": _npz, "image": _image, "h5": _h5}[name]()


def _yaml() -> Target:
    seeds = [path.read_bytes() for path in sorted(CONFIGS.glob("*_mnist.yaml"))]
    return Target(seeds, lambda path: load_config(Experiment, path), YAML_WORDS, 150)


def _npz() -> Target:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(6) % 2, "x_test": images}
    seeds = []
    for save in (np.savez, np.savez_compressed):
        opened = io.BytesIO()
        save(opened, **arrays, y_test=np.arange(6, dtype=">i4") % 2)
        seeds.append(opened.getvalue())

    def read(path: Path) -> None:
        load_mnist(MnistConfig(path=str(path), limit=None, validation_fraction=0.5, augment=None))

    return Target(seeds, read, BINARY_WORDS, 300)


def _image() -> Target:
    from epochlab.data.checking.file_types import recognise_type
    from epochlab.data.checking.headers import read_header
    from epochlab.data.decoding import decode_image
    from epochlab.process import load_tensorflow

    load_tensorflow()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    picture = Image.fromarray(pixels)
    orders = [
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("CMYK"), "JPEG", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
        (picture.convert("P"), "PNG", {"transparency": 3}),
        (picture.convert("I;16"), "PNG", {}),
        (picture.convert("1"), "BMP", {}),
        (picture, "GIF", {"save_all": True, "append_images": [picture.rotate(90)]}),
        (picture, "WEBP", {}),
        (picture.convert("RGBA"), "WEBP", {"lossless": True}),
    ]
    seeds = []
    for image, form, settings in orders:
        opened = io.BytesIO()
        image.save(opened, form, **settings)
        seeds.append(opened.getvalue())

    def read(path: Path) -> None:
        content = path.read_bytes()
        recognise_type(content)
        decode_image(content, "rgb")
        read_header(content)

    # Of 2**28 pixels an image may be, three bytes each, once as TensorFlow's and once as ours.
    return Target(seeds, read, BINARY_WORDS, 2_000)


def _h5() -> Target:
    from epochlab.models.lenet import build_lenet
    from epochlab.models.trained_weights import open_trained_weights, outline_network
    from epochlab.models.weights_file import open_weights_file, read_array
    from epochlab.process import load_tensorflow
    from epochlab.results import _h5_image

    load_tensorflow()
    config = LeNetConfig(
        scaling="unit",
        filters=(1, 2),
        kernel_size=3,
        dense_units=2,
        activation="relu",
        data_format="channels_last",
    )
    model = build_lenet(config, (8, 8, 1), 3, 1)
    outline = outline_network(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.weights.h5"
        model.save_weights(path)
        seeds = [_h5_image(model), path.read_bytes()]

    def read(path: Path) -> None:
        # As predict does, and as `model.weights` does.
        try:
            with open_trained_weights(path, outline, "give another") as weights:
                weights.assign_to(model)
        except EpochlabError:
            with open_weights_file(path) as weights_file:
                for layer in weights_file.layers:
                    for weight in layer.weights:
                        if weight.dataset.shape in outline.shapes:
                            read_array(weights_file.source, weight)

    return Target(seeds, read, BINARY_WORDS, 300)
