"""Faults at one file operation of a run after the other: kills, or a disk that is full."""

import argparse
import itertools
import re
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from run_course import Course, without_process_number
from run_reference import Task, make_images, run_reference
from zygote import Action, Fault, Outcome, Zygote, compile_library

KILLED = -9
DISK_FULL = 5
MOST_PROCESSES = 5


class Sweep:
    """Faults at one file operation after the other, in processes that share one start.

    Args:
        folder: Where everything is written.
        arguments: Of the command line.
        action: What happens at each operation.
        cut: The status of a process that a fault struck.
    """

    def __init__(
        self, folder: Path, arguments: argparse.Namespace, action: Action, cut: int
    ) -> None:
        make_images(folder / "images.npz")
        self.folder = folder
        self.every = arguments.every
        self.workers = arguments.workers
        self.action = action
        self.cut = cut
        self.task = Task(arguments.experiment, folder / "images.npz", arguments.epochs)
        # A real process: the forks have to give what it gives.
        self.reference, _ = run_reference(self.task, folder / "reference")
        library = compile_library(folder)
        self.zygotes: SimpleQueue[Zygote] = SimpleQueue()
        for number in range(self.workers):
            self.zygotes.put(Zygote(library, folder / f"zygote-{number}"))
        self.numbers = itertools.count()

    def run(self) -> dict[str, list[Course]]:
        """Runs all faults: during a run from its start, and during one that is resumed."""
        stages = {"start": None, "resume": self._cut_run()}
        courses = {stage: self._run_stage(stage, source) for stage, source in stages.items()}
        for _ in range(self.workers):
            self.zygotes.get().close()
        return courses

    def _run_stage(self, stage: str, source: Course | None) -> list[Course]:
        counted = Action.FILL_DISK if self.action == Action.FILL_DISK else Action.COUNT
        course = self._make_course(source)
        count = len(self._strike(course, sys.maxsize, counted).operations)
        print(f"{stage}: {count} operations", flush=True)
        numbers = range(1, count + 1, self.every)
        with ThreadPoolExecutor(self.workers) as pool:
            run_course = partial(self._run_course, stage, source)
            return list(pool.map(run_course, numbers))

    def _run_course(self, stage: str, source: Course | None, at: int) -> Course:
        course = self._make_course(source)
        outcome = self._strike(course, at, self.action)
        operation = _describe(outcome.operations[at - 1 : at])
        course.fault = f"{stage}, {self.action.name.lower()} {at} ({operation})"
        course.note(outcome, self.cut)
        while not course.is_over and course.processes < MOST_PROCESSES:
            course.note(self._fork(course.command()))
        course.clear()
        return course

    def _make_course(self, source: Course | None) -> Course:
        course = Course(self.task, self.folder / f"course-{next(self.numbers)}", self.reference)
        if source is None or source.run is None:
            course.out.mkdir()
            return course
        shutil.copytree(source.out, course.out)
        course.run = course.out / source.run.relative_to(source.out)
        course.epochs = source.epochs
        return course

    def _cut_run(self) -> Course:
        """Returns a run that was killed while it wrote a file after its second epoch."""
        course = self._make_course(None)
        operations = self._strike(course, sys.maxsize, Action.COUNT).operations
        course.clear()
        saved = _find_operation(operations, 0, r"rename.*epoch-00002")
        written = _find_operation(operations, saved, r"p?write|sendfile|copy_file_range")
        course = self._make_course(None)
        course.note(self._strike(course, written, Action.KILL_HALFWAY), KILLED)
        return course

    def _strike(self, course: Course, at: int, action: Action) -> Outcome:
        return self._fork(course.command(), Fault(course.out, at, action))

    def _fork(self, command: Sequence[str], fault: Fault | None = None) -> Outcome:
        zygote = self.zygotes.get()
        try:
            return zygote.run(command[1:], fault)
        finally:
            self.zygotes.put(zygote)


def _find_operation(operations: Sequence[str], after: int, pattern: str) -> int:
    """Returns the number of the first operation after number `after` that fits `pattern`."""
    numbered = itertools.islice(enumerate(operations, 1), after, None)
    return next(number for number, operation in numbered if re.match(pattern, operation))


def _describe(operations: Sequence[str]) -> str:
    """Returns the operation without what differs from run to run."""
    text = without_process_number(" ".join(operations))
    return re.sub(r" \S*?course-\d+/?(\w+/\d{8}T\d{6}Z-seed\d+(-\d+)?/?)?", " ", text)


def kill_at_operations(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Course]]:
    """Kills at every file operation: a write halfway through, any other just before it."""
    return Sweep(folder, arguments, Action.KILL_HALFWAY, KILLED).run()


def fill_disk(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Course]]:
    """Lets every operation that needs space fail from one on, from each one in turn."""
    return Sweep(folder, arguments, Action.FILL_DISK, DISK_FULL).run()
