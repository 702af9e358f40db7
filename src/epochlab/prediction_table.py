"""Predictions as text: CSV or JSON, piece by piece as they come."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from epochlab import csv_text
from epochlab.data.sources import shown
from epochlab.prediction import Prediction

# A spreadsheet computes a cell that begins so, and a command takes it for an option.
FORMULA_STARTS = ("=", "+", "-", "@")


def format_csv(predictions: Iterable[Prediction], top: int) -> Iterator[str]:
    """Yields the header and a line per prediction; nothing where there is no prediction.

    Args:
        predictions: What to write.
        top: Write this many classes, the likeliest first.
    """
    begun = False
    for prediction in predictions:
        if not begun:
            pairs = [(f"class_{rank}", f"probability_{rank}") for rank in range(2, top + 1)]
            header = ["file", "class", "probability", *(cell for p in pairs for cell in p)]
            yield csv_text.format_csv([header])
            begun = True
        cells = [shown_path(prediction.file)]
        for name, probability in prediction.ranked(top):
            cells += [shown(name), f"{probability:.6f}"]
        yield csv_text.format_csv([cells])


def format_json(predictions: Iterable[Prediction], top: int | None) -> Iterator[str]:
    """Yields the pieces of a JSON list; nothing where there is no prediction.

    Args:
        predictions: What to write.
        top: Write this many classes, the likeliest first, or None for all.
    """
    begun = False
    for prediction in predictions:
        ranked = prediction.ranked(top)
        entry = {
            "file": shown_path(prediction.file),
            "class": shown(ranked[0][0]),
            "probabilities": {shown(name): round(value, 6) for name, value in ranked},
        }
        # ASCII alone: a terminal's encoding cannot spoil it.
        yield (",\n" if begun else "[\n") + json.dumps(entry)
        begun = True
    if begun:
        yield "\n]\n"


def shown_path(path: Path) -> str:
    """Returns the path as a line of text; one that looks like a formula or an option gets `./`.

    It still names the file then, which with an apostrophe in front it would not.
    """
    name = str(path)
    return shown(f"./{name}" if name.startswith(FORMULA_STARTS) else name)
