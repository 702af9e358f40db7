"""`epochlab prepare`: make train, validation and test folders out of a folder or a zip."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epochlab.commands.apps import make_app

if TYPE_CHECKING:
    from epochlab.data.prepare import Prepared

# More classes than this are not told one by one.
SHOWN_CLASSES = 20

app = make_app("Make a dataset with train, validation and test folders out of a folder or a zip.")

SourceArgument = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="a folder or a zip", show_default=False)
]
DestinationArgument = Annotated[
    Path, typer.Argument(metavar="DEST", help="the folder to make", show_default=False)
]
SeedOption = Annotated[
    int | None, typer.Option(metavar="N", help="seed of the split by ratio (default: 0)")
]
LinkOption = Annotated[
    bool | None,
    typer.Option(
        "--link/--copy",
        help="hard links, which share their bytes with SOURCE, or copies (default: links from "
        "a folder; a zip is always extracted)",
        show_default=False,
    ),
]


@app.command("cats-dogs")
def prepare_cats_dogs(
    source: SourceArgument,
    destination: DestinationArgument,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="TRAIN,VALIDATION,TEST",
            help="shares of all images, as in 0.7,0.15,0.15 (default: of each class the lowest "
            "1000 numbers train, the next 500 validate, the next 500 test)",
        ),
    ] = None,
    seed: SeedOption = None,
    link: LinkOption = None,
) -> None:
    """Cats and dogs: cat.N.jpg and dog.N.jpg, or PetImages/Cat/N.jpg and PetImages/Dog/N.jpg."""
    from epochlab.data.prepare import prepare

    prepared = prepare("cats-dogs", source, destination, split=split, seed=seed, link=link)
    _print_prepared(prepared, destination)


@app.command("folder")
def prepare_folder(
    source: SourceArgument,
    destination: DestinationArgument,
    split: Annotated[
        str,
        typer.Option(
            metavar="TRAIN,VALIDATION,TEST",
            help="shares of the images of each class, as in 0.7,0.15,0.15",
            show_default=False,
        ),
    ],
    seed: SeedOption = None,
    link: LinkOption = None,
) -> None:
    """Any folder of class folders that has no splits yet."""
    from epochlab.data.prepare import prepare

    prepared = prepare("folder", source, destination, split=split, seed=seed, link=link)
    _print_prepared(prepared, destination)


def _print_prepared(prepared: "Prepared", destination: Path) -> None:
    from epochlab.data.sources import shown

    if prepared.was_there:
        total = sum(sum(counts.values()) for counts in prepared.counts.values())
        print(f"prepared before: all {total:,} files verified by size and SHA-256, none changed")
    elif prepared.copied:
        print(f"copied: {prepared.copied:,} files, because hard links are not possible there")
    if prepared.skipped:
        print(f"skipped: {len(prepared.skipped):,} files or folders, listed in prepared.json")
        for path, reason in prepared.skipped[:5]:
            print(f"  {shown(path)}: {reason}")
    if prepared.left_out:
        print(f"left out: {prepared.left_out:,} images that no split takes")
    _print_table(prepared)
    print(f"prepared: {shown(str(destination))}")


def _print_table(prepared: "Prepared") -> None:
    from epochlab.data.sources import shown

    splits = list(prepared.counts)
    classes = sorted({name for counts in prepared.counts.values() for name in counts})
    rows = {
        shown(name): [prepared.counts[split].get(name, 0) for split in splits]
        for name in classes[:SHOWN_CLASSES]
    }
    if len(classes) > SHOWN_CLASSES:
        hidden = classes[SHOWN_CLASSES:]
        rows[f"{len(hidden):,} more"] = [
            sum(prepared.counts[split].get(name, 0) for name in hidden) for split in splits
        ]
    rows["all"] = [sum(prepared.counts[split].values()) for split in splits]
    width = max(map(len, [*rows, "class"]))
    print(f"{'class':{width}}", *(f"{split:>10}" for split in splits))
    for name, counts in rows.items():
        print(f"{name:{width}}", *(f"{count:>10,}" for count in counts))
