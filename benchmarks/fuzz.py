"""Feeds damaged files to the readers of files that are not trusted, guided by what code they reach.

    python benchmarks/fuzz.py --minutes 10              # yaml, npz, image and h5, 10 minutes each
    python benchmarks/fuzz.py --target h5 --minutes 1

Each reader works in a process of its own. Good files are mutated at random; one that reaches lines
of Python that none has reached before is mutated further. A finding is an exception that is no
answer of Epochlab's, more memory than the reader may take, a file that takes over 20 seconds, or
the death of the process; its file is kept in --findings. Beyond the readers' Python, in the C of
HDF5, libjpeg and others, nothing guides the search, but their crashes count.
"""

import argparse
import contextlib
import faulthandler
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

TARGETS = ("yaml", "npz", "image", "h5")
SECONDS_PER_FILE = 20
# The Python that reads files: ours, and what it calls.
WATCHED = ("epochlab", "yaml", "zipfile.py", "numpy/lib/format.py", "PIL", "h5py")
LARGEST_FILE = 200_000


class Coverage:
    """The lines that were reached so far."""

    def __init__(self) -> None:
        self.lines: set[tuple[str, int]] = set()
        self._new = False

    def watch(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        """Called by Python for each function; watches the lines of those that matter."""
        name = frame.f_code.co_filename
        return self._note if any(part in name for part in WATCHED) else None

    def _note(self, frame: FrameType, event: str, _argument: Any) -> Any:
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place not in self.lines:
            self.lines.add(place)
            self._new = True
        return self._note

    def take_new(self) -> bool:
        """Returns whether something new was reached since the last call."""
        new, self._new = self._new, False
        return new


def mutate(content: bytes, corpus: list[bytes], words: tuple[bytes, ...], chance: random.Random):
    """Returns `content` with one to eight changes."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        start = chance.randrange(len(changed) + 1)
        end = min(len(changed), start + chance.choice((1, 1, 2, 4, 16, 256)))
        match chance.randrange(8):
            case 0 if changed:
                changed[start % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                changed[start:end] = chance.randbytes(end - start)
            case 2:
                changed[start:start] = chance.choice(words)
            case 3:
                word = chance.choice(words)
                changed[start : start + len(word)] = word
            case 4:
                del changed[start:end]
            case 5:
                changed[start:start] = changed[start:end] * chance.choice((1, 2, 100))
            case 6:
                other = chance.choice(corpus)
                place = chance.randrange(len(other) + 1)
                changed[start:end] = other[place : place + end - start]
            case _:
                del changed[start + (len(changed) - start) // chance.choice((1, 2, 50)) :]
    return bytes(changed[:LARGEST_FILE])


def work(target_name: str, seconds: float, seed: int, folder: Path) -> None:
    """Mutates and reads until the time is up; prints one JSON object at the end."""
    from fuzz_targets import make_target

    from epochlab.errors import EpochlabError

    target = make_target(target_name)
    chance, coverage = random.Random(seed), Coverage()
    corpus, counts, found = list(target.seeds), Counter(), set()
    current = folder / f"current.{target_name}"
    for content in target.seeds:  # what they load is loaded now
        current.write_bytes(content)
        with contextlib.suppress(EpochlabError):
            target.read(current)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutate(chance.choice(corpus), corpus, target.words, chance)
        current.write_bytes(content)
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        sys.settrace(coverage.watch)
        kind = "taken"
        try:
            target.read(current)
        except EpochlabError as error:
            kind = "answered" if str(error).strip() else "answered without a word"
        except Exception as error:
            kind = f"{type(error).__name__}: {str(error)[:120]}"
        finally:
            sys.settrace(None)
            faulthandler.cancel_dump_traceback_later()
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if now > peak + target.megabytes:
            kind, peak = f"memory: {now - peak} MB more", now
        counts["files"] += 1
        if kind in ("taken", "answered"):
            counts[kind] += 1
        elif kind.partition(":")[0] not in found:
            found.add(kind.partition(":")[0])
            keep(content, folder, target_name, kind)
        if coverage.take_new():
            corpus.append(content)
    record = dict(counts) | {"lines": len(coverage.lines), "corpus": len(corpus)}
    print(json.dumps(record | {"findings": sorted(found)}))


def keep(content: bytes, folder: Path, target_name: str, kind: str) -> None:
    """Keeps a file that is a finding, and says so."""
    number = len(list(folder.glob(f"{target_name}-*")))
    path = folder / f"{target_name}-{number:03}"
    path.write_bytes(content)
    print(f"finding: {path}: {kind}", file=sys.stderr, flush=True)


def fuzz(target: str, minutes: float, seed: int, folder: Path) -> bool:
    """Fuzzes one reader, in a new process each time one dies; returns whether nothing was found."""
    left = 60 * minutes  # of work; that a process has to load TensorFlow first does not count
    total: Counter[str] = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        while left > 5:
            started = time.monotonic()
            command = [sys.executable, __file__, "--work", scratch, "--target", target]
            command += ["--minutes", str(left / 60), "--seed", str(seed)]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            for path in Path(scratch).glob(f"{target}-*"):
                folder.mkdir(parents=True, exist_ok=True)
                shutil.move(path, folder / f"{seed}-{path.name}")
            if finished.returncode == 0:
                record = json.loads(finished.stdout.splitlines()[-1])
                findings += record.pop("findings")
                total = Counter({key: total[key] + record[key] for key in record})
                left = 0
            else:
                how = f"the process ended with {finished.returncode}"
                findings.append(how)
                folder.mkdir(parents=True, exist_ok=True)
                current = Path(scratch) / f"current.{target}"
                if current.exists():
                    shutil.copy(current, folder / f"{seed}-{target}-death")
                print(f"finding: {folder / f'{seed}-{target}-death'}: {how}", file=sys.stderr)
                left -= time.monotonic() - started
            seed += 1
    print(
        f"{target:6}{minutes:6g} min{total['files']:10,} files{total['taken']:9,} taken"
        f"{total['answered']:10,} answered{total['lines']:7,} lines{len(findings):4} findings",
        *sorted(set(findings)),
        flush=True,
    )
    return not findings


def main() -> None:
    """Reads the command line and fuzzes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--target", choices=TARGETS, help="only this reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.target, 60 * arguments.minutes, arguments.seed, arguments.work)
        return
    targets = [arguments.target] if arguments.target else TARGETS
    good = [
        fuzz(target, arguments.minutes, arguments.seed, arguments.findings) for target in targets
    ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
