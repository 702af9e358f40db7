"""ImageNet's weights, from Keras's own cache or its own download."""

import contextlib
import hashlib
import io
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.errors import EnvironmentFault, RunError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

SOURCE = "https://storage.googleapis.com/tensorflow/keras-applications/"
SILENCE_SECONDS = 30.0


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file that `keras.applications` downloads.

    Attributes:
        path: Where it lies below `SOURCE`; `{side}` stands for the size of the images.
        md5: MD5 of the file as `keras.applications` has it, hexadecimal; None where it has none.
        sides: For which square images there is a file, in pixels; others take the largest's.
    """

    path: str
    md5: str | None
    sides: tuple[int, ...] = ()


def fetch_imagenet_weights(published: PublishedWeights, image_shape: Sequence[int]) -> Path:
    """Returns the file with ImageNet's weights, downloaded by Keras if its cache has none.

    Args:
        published: Which file.
        image_shape: Height, width and channels of the images that the network takes, in pixels.

    Raises:
        RunError: If the file in the cache has another hash than the one that was published.
        EnvironmentFault: If the file is not there and cannot be downloaded.
    """
    height, width = image_shape[:2]
    side = height if height == width and height in published.sides else max(published.sides or (0,))
    url = SOURCE + published.path.format(side=side)
    path = _cache_folder() / url.rpartition("/")[2]
    if path.is_file():
        _check_hash(path, published.md5)
        return path
    _download(url, path, published.md5)
    if not path.is_file():
        raise EnvironmentFault(
            f"model.weights: imagenet: Keras put {path.name} elsewhere, for {path.parent} is not "
            "writable; make it writable, or set KERAS_HOME to a folder that is"
        )
    return path


def _download(url: str, path: Path, md5: str | None) -> None:
    """Lets Keras fetch `url` to `path`, where nothing is yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patience(), _plain_output(url):
            keras.utils.get_file(
                path.name,
                url,
                file_hash=md5,
                cache_dir=str(path.parent.parent),
                cache_subdir=path.parent.name,
            )
    except Exception as error:  # whatever urllib and Keras raise, a bare Exception included
        # Only a download that has just failed its hash can lie there now.
        path.unlink(missing_ok=True)
        hash_note = f"its MD5 is {md5}" if md5 else "Keras publishes no hash"
        raise EnvironmentFault(
            f"model.weights: imagenet: {path.name} is not in Keras's cache and cannot be "
            f"downloaded ({' '.join(str(error).split())}); fetch {url} on a machine that is online "
            f"and put it at {path} ({hash_note}), or set model.weights to the path of a weights "
            "file, or none"
        ) from error


def _cache_folder() -> Path:
    """Returns the folder in which Keras keeps the weights of its applications."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser().absolute() / "models"


def _check_hash(path: Path, md5: str | None) -> None:
    """Refuses a damaged file. Keras would delete it, even where it cannot get another one."""
    if md5 is None:
        return
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise RunError(
            f"model.weights: imagenet: {path} is not the file that Keras publishes: its MD5 is "
            f"{found}, expected {md5} (a download that broke off?); delete it to have it "
            "downloaded again, or give its path as model.weights if it is what you want"
        )


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Gives up on a network that swallows everything: urllib would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _plain_output(url: str) -> Iterator[None]:
    """Keeps the control characters of Keras's progress bar out of log files."""
    if sys.stdout.isatty():
        yield
        return
    print(f"downloading {url}", flush=True)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
