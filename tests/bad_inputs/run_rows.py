"""Rows 39 to 47: run folders, resuming, signals, places to write."""

import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from archive_rows import PREPARE, make_zip
from case import Case, Cases, NotHere, Place
from command import Command, Outcome, epochlab, run, script, send
from workshop import EPOCHS

cases = Cases()
RUN = "outputs/mlp_mnist_relu/run"
RESUME = ("--resume", RUN)
# What a process that has the run's lock takes away at its end, also that of one that was killed.
LOCK = (f"{RUN}/run.lock",)


def resume(*settings: str, **more) -> Command:
    return Command(script("mlp_mnist_relu", *RESUME, settings=settings), **more)


def killed(place: Place) -> Path:
    return place.workshop.copy_run(place.workshop.killed_run, place.path)


def finished(place: Place) -> Path:
    return place.workshop.copy_run(place.workshop.finished_run, place.path)


def weights(folder: Path) -> str:
    return json.loads((folder / "metrics.json").read_text())["weights_sha256"]


# 39: something is not as it was. One process finds all of it.


def make_changes(place: Place) -> Command:
    path = killed(place) / "sessions.json"
    record = json.loads(path.read_text())
    record["sessions"][0]["environment"]["versions"]["keras"] = "3.0.0"
    record["sessions"][0]["environment"]["cpu"] = "Abacus"
    path.write_text(json.dumps(record))
    return resume(
        "training.optimizer.learning_rate=1e-4", "training.threads=7", "model.activation=tanh",
        "seed=5", "data.limit=200",
    )  # fmt: skip


def change(name: str, *says: str) -> None:
    more = {"loads": "tensorflow", "changes": LOCK, "once": "changes"}
    says = (RUN, *says, "accept it with --allow-changes")
    cases.listed.append(Case(39, name, make_changes, 4, says, **more))


change("resumed with another learning rate", "optimizer.learning_rate: was 0.001, now 0.0001")
change("resumed with another activation", 'model.activation: was "relu", now "tanh"')
change("resumed with another seed", "seed: was 1, now 5")
change("resumed with other threads", "training.threads: was ", "now 7")
change("resumed with less data", "data.limit: was null, now 200")
change("resumed with another Keras", 'versions.keras: was "3.0.0", now "3.')
change("resumed on another CPU", 'cpu: was "Abacus", now ')

# 40: what there is nothing to resume in.


def check_untouched(place: Place, _: Outcome) -> None:
    assert weights(place.path / RUN) == weights(place.workshop.finished_run)


@cases(40, "finished run", 0, "finished already", answers="report", check=check_untouched)
def _(place: Place) -> Command:
    finished(place)
    return resume()


@cases(40, "empty folder", 4, "empty: no run folder, it lacks config.yaml", "after 'run:'")
def _(place: Place) -> Command:
    (place.path / "empty").mkdir()
    return Command(script("mlp_mnist_relu", "--resume", "empty"))


@cases(40, "folder that is not there", 4, "nowhere: no such folder", "give the folder of a run")
def _(place: Place) -> Command:
    return Command(epochlab("resume", "nowhere"))


@cases(40, "run of another experiment", 2, "expected lenet_mnist", "scripts/mlp_mnist_relu.py")
def _(place: Place) -> Command:
    killed(place)
    return Command(script("lenet_mnist", *RESUME))


@cases(40, "another folder for the rest", 2, "--out: not with --resume", "start a new run")
def _(place: Place) -> Command:
    killed(place)
    return Command(script("mlp_mnist_relu", *RESUME, "--out", "elsewhere"))


@cases(40, "run folder without its environment.json", 4, "environment.json", "damaged")
def _(place: Place) -> Command:
    (finished(place) / "environment.json").unlink()
    return Command(epochlab("reproduce", RUN))


@cases(40, "unfinished run to reproduce", 4, "is not finished", "epochlab resume")
def _(place: Place) -> Command:
    killed(place)
    return Command(epochlab("reproduce", RUN))


@cases(40, "unfinished run to predict with", 4, "not finished", "--resume")
def _(place: Place) -> Command:
    killed(place)
    return Command(epochlab("predict", RUN, "digits.npz"))


def check_extended(place: Place, _: Outcome) -> None:
    assert len((place.path / RUN / "history.csv").read_text().splitlines()) == EPOCHS + 3


@cases(
    40, "finished run with more epochs", 0, f"training.epochs: was {EPOCHS}, now {EPOCHS + 2}",
    "going on from the end of epoch 12", loads="tensorflow", answers="report", seconds=30,
    changes=(f"{RUN}*",), check=check_extended,
)  # fmt: skip
def _(place: Place) -> Command:
    finished(place)
    return resume(f"training.epochs={EPOCHS + 2}")


# 41, and what comes with it: one process goes on after kill -9.


def make_killed(place: Place) -> Command:
    folder = killed(place)
    (folder / "checkpoints/.4711.tmp.epoch-00003.npz").write_bytes(b"half")
    (folder / ".4711.tmp.loss.png").write_bytes(b"half")
    # The number of the process that held the lock has another process now: this one.
    (folder / "run.lock").write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename}))
    return resume()


def check_resumed(place: Place, _: Outcome) -> None:
    folder = place.path / RUN
    assert weights(folder) == weights(place.workshop.finished_run)
    assert not [path for path in folder.rglob(".*")]
    assert not (folder / "run.lock").exists()


def after_kill(row: int, name: str, *says: str) -> None:
    more = {"loads": "tensorflow", "answers": "report", "seconds": 60.0, "once": "killed"}
    more |= {"changes": (f"{RUN}*",), "check": check_resumed}
    cases.listed.append(Case(row, name, make_killed, 0, says, **more))


after_kill(41, "kill -9 in the third epoch", "going on from the end of epoch")
after_kill(41, "checkpoint half written", ".4711.tmp.epoch-00003.npz", "half-written")
after_kill(41, "picture half written", ".4711.tmp.loss.png", "half-written")
after_kill(46, "lock of a killed process whose number is another's", "the last process was killed")
after_kill(49, "killed because memory ran out", "if memory ran out, give a smaller training.batch")


@cases(41, "killed run compared", 0, "cut off", answers="report", seconds=15, changes=("told*",))
def _(place: Place) -> Command:
    killed(place)
    return Command(epochlab("compare", "outputs", "--out", "told"))


@cases(
    41, "history half written", 0, "history.csv: cannot be read beyond epoch", answers="report",
    seconds=15, changes=("told*",),
)  # fmt: skip
def _(place: Place) -> Command:
    path = killed(place) / "history.csv"
    path.write_text(path.read_text()[:-10])
    return Command(epochlab("compare", "outputs", "--out", "told"))


# 42: checkpoints.


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("epoch-*.npz"))


@cases(
    42, "newest checkpoint cut off", 0, "not a whole checkpoint", "going on from the end of epoch",
    loads="tensorflow", answers="report", seconds=60, changes=(f"{RUN}*",), check=check_resumed,
)  # fmt: skip
def _(place: Place) -> Command:
    newest = checkpoints(killed(place))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    return resume()


@cases(
    42, "no checkpoint is whole", 4, "no checkpoint of this run is whole; start a new run",
    loads="tensorflow", changes=(f"{RUN}/*",), seconds=15,
)  # fmt: skip
def _(place: Place) -> Command:
    for path in checkpoints(killed(place)):
        path.write_bytes(b"")
    return resume()


# 43: signals.


def train(place: Place, *during: tuple[str, Callable[[int], object]]) -> Command:
    shutil.copy(place.workshop.digits, place.path)
    settings = ["data.path=digits.npz", "training.epochs=500", "training.batch_size=4"]
    return Command(script("mlp_mnist_relu", settings=settings), during=during)


def check_saved(place: Place, _: Outcome) -> None:
    (folder,) = place.path.glob("outputs/mlp_mnist_relu/*")
    assert checkpoints(folder) and not (folder / "metrics.json").exists()
    assert not (folder / "run.lock").exists()


def stop_twice(pid: int) -> None:
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)


STOPPED = {
    "loads": "tensorflow", "answers": "signal", "seconds": 60.0,
    # TensorFlow leaves its own temporary files where it is stopped at once.
    "changes": ("outputs*", "__autograph_generated_file*"),
}  # fmt: skip


@cases(
    43, "SIGTERM in training", 130, "SIGTERM: saving after this step", "go on with: python ",
    check=check_saved, **STOPPED,
)  # fmt: skip
def _(place: Place) -> Command:
    return train(place, ("epoch   2/500", send(signal.SIGTERM)))


@cases(43, "two signals in training", 130, "again: stopped at once", **STOPPED)
def _(place: Place) -> Command:
    return train(place, ("epoch   2/500", stop_twice))


@cases(43, "SIGHUP before training", 130, "go on with: python ", **STOPPED)
def _(place: Place) -> Command:
    return train(place, ("data: ", send(signal.SIGHUP)))


# 44 and 45: places that cannot be written, and full disks.


def refused(name: str, out: str, *says: str, make: Callable[[Path], object] | None = None) -> None:
    """A folder for runs that is refused before TensorFlow loads."""

    def command(place: Place) -> Command:
        if make is not None:
            make(place.path)
        return Command(script("lenet_mnist", "--out", out))

    cases.listed.append(Case(44, name, command, 5, ("--out", *says)))


def make_file(folder: Path) -> None:
    (folder / "taken").write_text("precious")


refused("file for a folder", "taken", "taken/lenet_mnist", "a file stands in", make=make_file)
refused("folder below a file", "taken/below", "taken/below", "a file stands in", make=make_file)
refused("path too long", "long" * 100, "File name too long", "a shorter path")
refused("folder where none can be made", "/proc/nowhere", "/proc/nowhere", "you may write to")


def mounted(place: Place, options: str, command: list[str], after: str = "true") -> Command:
    """Returns `command`, run where `small` is a file system of its own."""
    (place.path / "small").mkdir()
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "small"]
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        raise NotHere("needs root on Linux, to mount a small file system")
    if run(Command([shutil.which("unshare"), *probe[1:]]), place.path, {}).code != 0:
        raise NotHere("file systems cannot be mounted here")
    program = f'mount -t tmpfs -o {options} none small && "$@"; code=$?; {after}; exit $code'
    return Command([shutil.which("unshare"), "-m", "sh", "-c", program, "sh", *command])


READ_ONLY = "size=1m,ro"


@cases(44, "read-only file system", 5, "small/lenet_mnist", "Read-only file system", "--out")
def _(place: Place) -> Command:
    return mounted(place, READ_ONLY, script("lenet_mnist", "--out", "small"))


@cases(44, "report on a read-only file system", 5, "small/told", "Read-only file system", "--out")
def _(place: Place) -> Command:
    (place.path / "pets/cat").mkdir(parents=True)
    return mounted(place, READ_ONLY, epochlab("check-data", "pets", "--out", "small/told"))


@cases(44, "comparison on a read-only file system", 5, "small/told", "Read-only", "--out")
def _(place: Place) -> Command:
    finished(place)
    return mounted(place, READ_ONLY, epochlab("compare", "outputs", "--out", "small/told"))


@cases(44, "report in the folder that is checked", 2, "pets/told", "choose another folder", "--out")
def _(place: Place) -> Command:
    (place.path / "pets/cat").mkdir(parents=True)
    return Command(epochlab("check-data", "pets", "--out", "pets/told"))


@cases(44, "predictions into the run's folder", 2, "--out", "stays as it is")
def _(place: Place) -> Command:
    finished(place)
    out = f"{RUN}/predictions.csv"
    return Command(epochlab("predict", RUN, "digits.npz", "--out", out))


@cases(44, "cache below a file", 5, "taken", loads="tensorflow")
def _(place: Place) -> Command:
    from data_rows import train as train_photographs
    from photographs import make_dataset

    make_dataset(place.path / "pets", train=3, test=2)
    make_file(place.path)
    return train_photographs(environment={"EPOCHLAB_CACHE": "taken/cache"})


@cases(
    45, "disk too small for a zip", 5, "small: the images need 240,000 bytes", "are free",
    "free some space, or choose a DEST on another disk",
)  # fmt: skip
def _(place: Place) -> Command:
    make_zip(place.path / "set.zip", content=os.urandom(20_000))
    return mounted(place, "size=64k", epochlab(*PREPARE[:3], "small/out", *PREPARE[4:]))


def check_kept(place: Place, _: Outcome) -> None:
    (folder,) = place.path.glob("kept/mlp_mnist_relu/*")
    assert checkpoints(folder) and not (folder / "metrics.json").exists()
    assert not [path for path in folder.rglob(".*")]


@cases(
    45, "disk full at a checkpoint", 5, "checkpoints/epoch-", "bytes are needed", "bytes are free",
    "then go on with: python ", loads="tensorflow", seconds=30, changes=("kept*",),
    check=check_kept,
)  # fmt: skip
def _(place: Place) -> Command:
    shutil.copy(place.workshop.digits, place.path)
    settings = ["data.path=digits.npz", "training.epochs=9", "training.batch_size=32"]
    command = script("mlp_mnist_relu", "--out", "small", settings=settings)
    return mounted(place, "size=1500k", command, after="cp -r small kept")


# 46 and 47: several processes.


@cases(
    46, "run that another process is at work in", 4, f"{RUN}: process 4711 on here since then",
    "wait for it, or stop it", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    lock = (killed(place) / "run.lock").open("w")
    lock.write(json.dumps({"pid": 4711, "host": "here", "since": "then"}))
    lock.flush()
    # Held as long as this process has the file open, which ends with it.
    fcntl.flock(lock, fcntl.LOCK_EX)
    HELD.append(lock)
    return resume()


HELD: list = []


@cases(
    46, "lock of another host", 4, "process 1 on elsewhere since then", "delete ", "run.lock",
    loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    lock = {"pid": 1, "host": "elsewhere", "since": "then"}
    (killed(place) / "run.lock").write_text(json.dumps(lock))
    return resume()


AT_ONCE = """
import os, sys
from datetime import datetime
from pathlib import Path
from epochlab import runs
class Clock(datetime):
    now = classmethod(lambda cls, zone: datetime(2026, 1, 1))
runs.datetime = Clock
reading, writing = os.pipe()
children = []
for number in range(100):
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        run = runs.create_run(Path("outputs"), "lenet_mnist", 1, {"config.yaml": str(number)})
        os._exit(0 if run.config_path.read_text() == str(number) else 1)
    children.append(child)
os.close(writing)  # which all of them wait for
failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
print(f"{len(list(Path('outputs/lenet_mnist').iterdir()))} folders, {failed} failed")
"""


@cases(
    47, "100 processes make a run in the same second", 0, "100 folders, 0 failed",
    answers="report", changes=("outputs*",), seconds=30,
)  # fmt: skip
def _(place: Place) -> Command:
    return Command([sys.executable, "-c", AT_ONCE])


CASES = cases.listed
