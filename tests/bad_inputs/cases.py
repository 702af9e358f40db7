"""All cases, and what is promised of each row."""

import archive_rows
import config_rows
import data_rows
import fault_rows
import run_rows
import sweep_rows
import weights_rows

MODULES = (
    config_rows, data_rows, archive_rows, weights_rows, run_rows, fault_rows, sweep_rows,
)  # fmt: skip

PROMISES = {
    1: "Misspelt key: its line, and the key that was meant",
    2: "Right key in the wrong section: the section it belongs to",
    3: "Wrong kind of number: kind, range and what was given; `1e-3` is a number",
    4: "What other YAML readers turn into something else stays text, or is refused",
    5: "Key twice: both lines",
    6: "YAML tags: refused, nothing is executed",
    7: "YAML bombs: refused at once, memory flat",
    8: "Other files than a YAML mapping: what was found instead",
    9: "Unknown names: the nearest, and all there are",
    10: "Image, kernel or pooling that leaves nothing: the layer and the shapes, before training",
    11: "Several mistakes: all in one go",
    12: "Classes that are not those of the config: both lists, the difference marked",
    13: "Data that is not there: path, cause, next step",
    14: "Empty class folder: named and refused, never a class",
    15: "One class: refused",
    16: "Class that a split lacks: named, per split",
    17: "Class or split with hardly an image: warned of, an empty one refused",
    18: "Files that are no images: listed with the reason; an error, or left out",
    19: "JPEG that is cut off: found by decoding all of it",
    20: "PNG with a bad checksum: found",
    21: "Colour modes: brought to RGB or grey by one rule, told of",
    22: "16 bits: the upper 8 are kept, told of",
    23: "Animations: the first frame, told of",
    24: "EXIF orientation: not applied, told of",
    25: "Other formats under a wrong name: the real one is named",
    26: "Odd sizes told of; bombs refused from their header",
    27: "Too much to leave out: refused with the number",
    28: "Links, pipes, sockets, devices: never followed or opened, listed",
    29: "Odd names: they work, tables stay whole, nothing is computed or obeyed",
    30: "Same image in two splits or under two labels: listed, refused beyond 5 %",
    31: "Data that changed: the files are named, nothing goes on",
    32: "Archive members that could do harm: named, nothing is written",
    33: "Archive bombs and damaged archives: refused, nothing stays behind",
    34: "Broken-off preparation: never taken for complete",
    35: "Shipped and fetched data: verified, and what to do offline",
    36: "Weights that do not fit: all that is wrong, in one table",
    37: "Weights files that are none: why, nothing executed, memory flat",
    38: "Models that would run code or read files: refused",
    39: "Resumed with something changed: each change, refused unless allowed",
    40: "Nothing to resume: said; more epochs extend a finished run",
    41: "kill -9: goes on to the same bits, leftovers are named and removed",
    42: "Damaged checkpoint: the one before is used, and said so",
    43: "Signals: one checkpoint, exit code 130; the second one stops at once",
    44: "Places that cannot be written: found before training",
    45: "Full disk: bytes needed and free; the last checkpoint stays",
    46: "Two processes in a run: the second is refused; stale locks are taken over",
    47: "Runs of the same second: a folder each",
    48: "Loss that is not finite: step, rate and first bad weights; the last good state stays",
    49: "Out of memory: told by the next start, with the remedy",
    50: "Odd surroundings: no crash, names and logs in order",
    51: "Sweeps: mistakes before the first trial; a failing trial stops no other",
    52: "Other machines: unreachable ones are named in bounded time",
}

CASES = sorted((case for module in MODULES for case in module.CASES), key=lambda case: case.row)
