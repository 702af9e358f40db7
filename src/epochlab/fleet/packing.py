"""A trial's folder as bytes, between machines that share no file system."""

import io
import shutil
import tarfile
from pathlib import Path

from epochlab.fleet.ledger import LOG, RECORD, SETTINGS, find_run

INCOMING = ".incoming"


def pack_trial(folder: Path) -> bytes:
    """Returns the log and the run of the trial in `folder`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in (RECORD, SETTINGS) and not path.name.startswith("."):
                archive.add(path, arcname=path.name)
    return packed.getvalue()


def unpack_trial(packed: bytes, folder: Path) -> None:
    """Puts what `pack_trial` returned in place. The run appears whole or not at all.

    Args:
        packed: The bytes.
        folder: The trial's folder here. An earlier state of the run in it is replaced.
    """
    incoming = folder / INCOMING
    shutil.rmtree(incoming, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(incoming, filter="data")
    if (incoming / LOG).exists():
        (incoming / LOG).replace(folder / LOG)
    run = find_run(incoming)
    if run is not None:
        place = folder / run.path.relative_to(incoming)
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            # Away at once, so that no moment shows half of each.
            place.rename(incoming / "replaced")
        run.path.rename(place)
    shutil.rmtree(incoming)
