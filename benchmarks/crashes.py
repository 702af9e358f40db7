"""What `kill -9` and a full disk cost a run: nothing, or the exit code is 1.

Small runs are cut off and resumed, and each has to end as one that nothing disturbed: the same
weights, history, predictions and pictures, and no file too many. What only a power cut could lose
is not tried: the machine stays up, so what was written stays written.

    python benchmarks/crashes.py random --kills 200   # at random moments, each resumed to the end
    python benchmarks/crashes.py operations           # at every file operation (Linux, C compiler)
    python benchmarks/crashes.py full-disk            # no space left, from each write on
"""

import argparse
import itertools
import random
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from fault_sweep import KILLED, fill_disk, kill_at_operations
from run_course import Course
from run_reference import Task, make_images, run_process, run_reference

# The first experiment is the most usual kind, so it gets half of the runs.
SHARES = ("mlp_mnist_relu", "custom_dense_mnist", "mlp_mnist_relu", "lenet_mnist")
HARMLESS = ("cut off", "too early to resume")
DEFECTS = (
    "lost checkpoints", "differing files", "leftovers", "tracebacks", "no single message",
    "wrong exit codes",
)  # fmt: skip
SHOWN_FAULTS = 8


class Kills:
    """How many kills are still to be done, for several threads.

    Args:
        count: How many in all.
    """

    def __init__(self, count: int) -> None:
        self.left = count
        self._lock = Lock()

    def take(self) -> bool:
        """Takes one; tells whether there was one left."""
        with self._lock:
            is_left = self.left > 0
            self.left -= is_left
            return is_left

    def give_back(self) -> None:
        """Gives one back that came after the end of its process."""
        with self._lock:
            self.left += 1


def kill_at_random(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Course]]:
    """Kills real processes at random moments until there were `--kills` kills."""
    make_images(folder / "images.npz")
    tasks = {name: Task(name, folder / "images.npz", arguments.epochs) for name in SHARES}
    kills = Kills(arguments.kills)
    numbers = itertools.count()

    def work(_: int) -> list[Course]:
        courses = []
        while kills.left:
            number = next(numbers)
            experiment = SHARES[number % len(SHARES)]
            course = Course(tasks[experiment], folder / str(number), references[experiment])
            moments = random.Random(f"{arguments.seed}/{number}")
            seconds[experiment] = kill_often(
                course, kills, seconds[experiment], moments, arguments.kills_per_run
            )
            course.clear()
            courses.append(course)
        return courses

    with ThreadPoolExecutor(arguments.workers) as pool:
        # Side by side, so that they take as long as the runs that are killed.
        made = pool.map(lambda task: run_reference(task, folder / task.experiment), tasks.values())
        made = dict(zip(tasks, made, strict=True))
        references = {name: reference for name, (reference, _) in made.items()}
        seconds = {name: taken for name, (_, taken) in made.items()}
        courses = itertools.chain.from_iterable(pool.map(work, range(arguments.workers)))
        return {"random": list(courses)}


def kill_often(
    course: Course, kills: Kills, seconds: float, moments: random.Random, most: int
) -> float:
    """Kills one process of a run after the other, until one comes through or no kill is left.

    Args:
        course: The run.
        kills: How many kills are left.
        seconds: How long an undisturbed process takes; each kill comes within that time.
        moments: The generator of the moments.
        most: How many kills this run gets at most.

    Returns:
        How long an undisturbed process takes, as seen now.
    """
    while not course.is_over:
        if course.counts["cut off"] == most or not kills.take():
            course.note(run_process(course.command()))
            continue
        moment = moments.uniform(0, seconds)
        started = time.perf_counter()
        is_new = course.run is None
        outcome = run_process(course.command(), moment)
        if outcome.status == KILLED:
            course.fault = f"{course.task.experiment}, killed after {moment:.2f} of {seconds:.2f} s"
        else:
            kills.give_back()
            if is_new:  # the machine is faster now than it was
                seconds = min(seconds, time.perf_counter() - started)
        course.note(outcome, KILLED)
    return seconds


def report(mode: str, stages: dict[str, list[Course]]) -> bool:
    """Prints the figures and every defect; returns whether all went well."""
    courses = [course for stage in stages.values() for course in stage]
    columns = (*HARMLESS, *DEFECTS)
    print(f"| {mode} | runs | identical | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * (2 + len(columns))}")
    for name, stage in stages.items():
        counts = sum((course.counts for course in stage), Counter())
        identical = sum(course.is_identical for course in stage)
        cells = [name, len(stage), identical, *(counts[column] for column in columns)]
        print(f"| {' | '.join(map(str, cells))} |")
    print(f"{mode}: {sum(course.is_identical for course in courses)} of {len(courses)} identical")
    faults = defaultdict(list)
    for course in courses:
        for kind, message, fault in course.defects:
            faults[kind, message].append(fault)
    for (kind, message), struck in sorted(faults.items()):
        print(f"{kind}: {message}; after {len(struck)} faults: {'; '.join(struck[:SHOWN_FAULTS])}")
    return not faults and all(course.is_identical for course in courses)


MODES = {"random": kill_at_random, "operations": kill_at_operations, "full-disk": fill_disk}


def read_arguments() -> argparse.Namespace:
    """Returns the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    for name, function in MODES.items():
        mode = modes.add_parser(name, help=(function.__doc__ or "").partition("\n")[0])
        mode.add_argument("--workers", type=int, default=2, help="runs side by side")
        if name == "random":
            mode.add_argument("--kills", type=int, default=200)
            mode.add_argument("--kills-per-run", type=int, default=1, help="at most (default: 1)")
            mode.add_argument("--seed", type=int, default=1, help="seed of the moments")
            mode.add_argument("--epochs", type=int, default=10)
        else:
            mode.add_argument("--every", type=int, default=1, help="only each such operation")
            mode.add_argument("--experiment", choices=sorted(set(SHARES)), default=SHARES[0])
            mode.add_argument("--epochs", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Prints the figures of one way to break off runs."""
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        stages = MODES[arguments.mode](Path(folder).resolve(), arguments)
    if not report(arguments.mode, stages):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
