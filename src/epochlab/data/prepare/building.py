"""A dataset with training, validation and test folders, made whole or not at all."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from epochlab.data.prepare.archive import open_source
from epochlab.data.prepare.layouts import find_cats_dogs, find_class_folders
from epochlab.data.prepare.manifest import (
    check_arguments,
    check_source,
    read_manifest,
    verify_files,
    write_manifest,
)
from epochlab.data.prepare.placing import build_folder, place_files, sync_folder
from epochlab.data.prepare.splits import (
    NUMBER_COUNTS,
    Ratios,
    parse_ratios,
    split_by_number,
    split_by_ratio,
)
from epochlab.data.sources import Source, SourceFile
from epochlab.errors import ConfigError, DataError

BY_NUMBER = "by number, of each class: " + ", ".join(
    f"{count} {name}" for name, count in NUMBER_COUNTS.items()
)


@dataclass(frozen=True)
class Prepared:
    """What `prepare` made or found.

    Attributes:
        counts: Images per class, per split.
        left_out: Images that no split takes.
        skipped: Path and reason of the source's files that were left alone.
        was_there: Whether the dataset was there already, and has been verified.
        copied: How many files were copied because hard links were not possible.
    """

    counts: Mapping[str, Mapping[str, int]]
    left_out: int
    skipped: tuple[tuple[str, str], ...]
    was_there: bool
    copied: int


@dataclass(frozen=True)
class _Plan:
    files: dict[str, SourceFile]
    counts: dict[str, dict[str, int]]
    left_out: int
    skipped: tuple[tuple[str, str], ...]


def prepare(
    layout: Literal["cats-dogs", "folder"],
    source: Path,
    destination: Path,
    *,
    split: str | None,
    seed: int | None = None,
    link: bool | None = None,
) -> Prepared:
    """Makes `destination` with train/CLASS, validation/CLASS, test/CLASS out of `source`.

    No image is decoded. Where the same call has made `destination` before, nothing is written, and
    size and SHA-256 of every file are verified.

    Args:
        layout: `cats-dogs`, by the Kaggle or Microsoft set's names, or `folder`, one per class.
        source: A folder or a zip.
        destination: The folder to make, from a temporary one beside it. It may be there, empty.
        split: Shares as in `0.7,0.15,0.15`, or None to split cats and dogs by number.
        seed: Of the split by ratio; None means 0.
        link: True for hard links, False for copies, None for links from a folder.

    Raises:
        ConfigError: If the arguments do not go together.
        DataError: If the source cannot be used, or `destination` holds anything else.
        EnvironmentFault: If `destination` cannot be written.
    """
    ratios = _check_split(layout, split, seed)
    wanted = Path(os.path.realpath(destination))
    if wanted.is_relative_to(os.path.realpath(source)):
        raise ConfigError(f"DEST {destination}: lies in SOURCE {source}; choose a folder outside")
    with open_source(source.absolute()) as opened:
        arguments = _describe(layout, opened, ratios, seed, link)
        manifest = read_manifest(wanted)
        if manifest is not None:
            check_arguments(destination, manifest, arguments)
        plan = _make_plan(opened, layout, ratios, seed or 0)
        if manifest is None:
            copied = _build(opened, wanted, plan, arguments)
            return Prepared(plan.counts, plan.left_out, plan.skipped, False, copied)
        check_source(destination, manifest, opened, plan.files)
        verify_files(destination, manifest)
        return Prepared(plan.counts, plan.left_out, plan.skipped, True, 0)


def _describe(
    layout: str, source: Source, ratios: Ratios | None, seed: int | None, link: bool | None
) -> dict[str, Any]:
    """Returns what must be the same for a prepared folder to be the one that is asked for."""
    if link and source.archive is not None:
        raise ConfigError(
            f"--link: {source.place} is a zip, whose files can only be extracted; leave it out"
        )
    by_link = source.archive is None and link is not False
    return {
        "layout": layout,
        "source": str(source.place),
        "split": BY_NUMBER if ratios is None else str(ratios),
        "seed": None if ratios is None else seed or 0,
        "storage": "link" if by_link else "copy",
    }


def _check_split(layout: str, split: str | None, seed: int | None) -> Ratios | None:
    if split is not None:
        return parse_ratios(split)
    if layout != "cats-dogs":
        raise ConfigError("--split is missing; give shares as in --split 0.7,0.15,0.15")
    if seed is not None:
        raise ConfigError(
            f"--seed {seed}: means nothing to the split by number; leave it out, or give --split"
        )
    return None


def _make_plan(source: Source, layout: str, ratios: Ratios | None, seed: int) -> _Plan:
    found = find_cats_dogs(source) if layout == "cats-dogs" else find_class_folders(source)
    try:
        parts = (
            split_by_number(found.images)
            if ratios is None
            else split_by_ratio(found.images, ratios, seed)
        )
    except DataError as error:
        raise DataError(f"{source.place}: {error}") from error
    files = {
        f"{name}/{image.class_name}/{image.name}": image.file
        for name, images in parts.items()
        for image in images
    }
    counts = {
        name: dict(sorted(Counter(image.class_name for image in images).items()))
        for name, images in parts.items()
    }
    skipped = tuple(sorted(source.skipped + found.skipped))
    return _Plan(files, counts, len(found.images) - len(files), skipped)


def _build(source: Source, wanted: Path, plan: _Plan, arguments: dict[str, Any]) -> int:
    """Returns how many files were copied although links were wanted."""
    by_link = arguments["storage"] == "link"
    with build_folder(wanted) as beside:
        records, storage = place_files(source, plan.files, beside, by_link)
        sync_folder(beside, records if storage["copies"] else [])
        write_manifest(
            beside,
            {
                "arguments": arguments,
                "counts": plan.counts,
                "left_out": plan.left_out,
                "skipped": [{"path": path, "reason": reason} for path, reason in plan.skipped],
                "storage": storage,
                "files": records,
            },
        )
    return storage["copies"] if by_link else 0
