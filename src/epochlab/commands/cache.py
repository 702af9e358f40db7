"""`epochlab cache`: what is kept to save time, and how to be rid of it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from epochlab.commands.apps import make_app
from epochlab.data.cache_entries import cache_folder, list_entries, make_room
from epochlab.data.sources import shown

app = make_app("List or remove decoded images and features. All of it can be made again.")

# Of a source's path, its end says most.
SHOWN_SOURCE = 32


@app.command("list")
def list_cache() -> None:
    """List what is in the cache, the latest used last."""
    entries = list_entries()
    print(f"{'used (UTC)':16}  {'kind':8}  {'images':>8}  {'size':>8}  source")
    for entry in entries:
        used = datetime.fromtimestamp(entry.used, UTC)
        images = entry.about.get("images", "?")
        images = f"{images:,}" if isinstance(images, int) else "?"
        source = shown(str(entry.about.get("source", "?")))
        source = source if len(source) <= SHOWN_SOURCE else "..." + source[3 - SHOWN_SOURCE :]
        size = _format_size(entry.size)
        print(f"{used:%Y-%m-%d %H:%M}  {entry.kind:8}  {images:>8}  {size:>8}  {source}")
    total = _format_size(sum(entry.size for entry in entries))
    print(f"{len(entries)} entries, {total}, in {shown(str(cache_folder()))}")


@app.command("prune")
def prune_cache(
    keep: Annotated[
        float, typer.Option(metavar="GIB", min=0, help="leave the latest used, up to this many GiB")
    ] = 0.0,
) -> None:
    """Remove what was used longest ago; without --keep everything."""
    removed = make_room(None, int(keep * 2**30))
    freed = _format_size(sum(entry.size for entry in removed))
    print(f"removed {len(removed)} entries, {freed}, from {shown(str(cache_folder()))}")


def _format_size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
