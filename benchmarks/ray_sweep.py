"""A sweep under Ray on two nodes of this machine, with a worker killed in the middle.

Two raylets stand for two machines: each has a CPU, ports and workers of its own. Once a third of
the trials have ended, the worker process that trains another one gets SIGKILL. Ray begins that
trial again, and it goes on with its run.

    python benchmarks/ray_sweep.py               # 12 trials of mlp_mnist_relu, 600 images, 4 epochs
    python benchmarks/ray_sweep.py --trials 4
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SWEEP = """\
experiment: {experiment}
set: {settings}
search: list
space: [{{}}]
seeds: {seeds}
cpus_per_trial: 1
"""
STARTS = 4
SETTINGS = "{data.limit: 600, training.epochs: 4}"


def run_sweep(folder: Path, experiment: str, settings: str, trials: int) -> list[dict[str, str]]:
    """Runs the sweep in `folder` and returns the rows of its table.

    Args:
        folder: Takes the sweep's file and the runs. The experiment's script is looked for in it.
        experiment: What is trained.
        settings: The sweep's `set`, as YAML in one line.
        trials: How many seeds, and so trials.
    """
    import ray

    seeds = list(range(1, trials + 1))
    text = SWEEP.format(experiment=experiment, settings=settings, seeds=seeds)
    (folder / "many.yaml").write_text(text)
    cluster = start_head()
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        command = [sys.executable, "-m", "epochlab.cli", "sweep", "many.yaml"]
        command += ["--engine", "ray", "--address", cluster.address]
        process = subprocess.Popen(command, cwd=folder)
        kill_worker(folder, process, trials // 3)
        code = process.wait()
        print(f"epochlab sweep ended with exit code {code}")
    finally:
        ray.shutdown()
        cluster.shutdown()
    with (folder / "outputs/sweeps/many/trials.csv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def start_head():
    """Starts the first node of a cluster. On a busy machine Ray gives up too soon: then again."""
    from ray.cluster_utils import Cluster

    for attempt in range(STARTS):
        try:
            return Cluster(
                initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
            )
        except Exception as error:  # Ray raises a bare one
            if attempt == STARTS - 1:
                raise
            print(f"again, because {error}", flush=True)
    raise AssertionError


def kill_worker(folder: Path, sweep: subprocess.Popen[bytes], after: int) -> None:
    """Kills the Ray worker of a trial that is between two epochs, once `after` have ended."""
    trials = folder / "outputs/sweeps/many/trials"
    while sweep.poll() is None:
        ended = {path.parents[2] for path in trials.glob("*/*/*/metrics.json")}
        begun = {path.parents[2] for path in trials.glob("*/*/*/history.csv")} - ended
        for trial in sorted(begun) if len(ended) >= after else ():
            worker = find_parent(str(trial))
            if worker is not None:
                os.kill(worker, signal.SIGKILL)
                print(f"SIGKILL to worker {worker}, which was training {trial.name}", flush=True)
                return
        time.sleep(0.05)
    raise SystemExit("the sweep ended before a worker could be killed")


def find_parent(argument: str) -> int | None:
    """Returns the process that started the script with `argument` somewhere in its command."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            status = (folder / "stat").read_text()
        except OSError:  # it has ended
            continue
        if argument in command and ".py\0" in command:
            return int(status.rpartition(")")[2].split()[1])
    return None


def report(rows: list[dict[str, str]], trials: int) -> bool:
    """Prints the figures; returns whether every trial is finished, and once."""
    states = Counter(row["state"] for row in rows)
    again = [row for row in rows if int(row["attempts"]) > 1]
    nodes = Counter(row["node"] for row in rows)
    print(f"trials in the table: {len(rows)}, different: {len({row['id'] for row in rows})}")
    print(f"run folders: {len({row['run'] for row in rows})}")
    print(f"states: {dict(states)}")
    print(f"nodes: {dict(nodes)}")
    print(f"begun again by Ray: {[(row['id'], row['attempts']) for row in again]}")
    distinct = {len({row[key] for row in rows}) for key in ("id", "run", "seed")}
    return (
        len(rows) == states["finished"] == trials
        and distinct == {trials}
        and len(nodes) == 2
        and len(again) == 1
    )


def main() -> None:
    """Prints the figures of one sweep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--experiment", default="mlp_mnist_relu")
    parser.add_argument("--set", default=SETTINGS, help="the sweep's set, as YAML in one line")
    arguments = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with tempfile.TemporaryDirectory() as folder:
        rows = run_sweep(
            Path(folder).resolve(), arguments.experiment, arguments.set, arguments.trials
        )
    if not report(rows, arguments.trials):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
