"""Trials as tasks of a Ray cluster."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochlab.environment import SWITCHES
from epochlab.errors import ConfigError, EnvironmentFault
from epochlab.files import write_text
from epochlab.fleet.experiments import Experiment
from epochlab.fleet.ledger import find_run
from epochlab.fleet.packing import pack_trial, unpack_trial
from epochlab.fleet.processes import Outcome
from epochlab.fleet.ray_cluster import connect
from epochlab.fleet.ray_worker import STOP_SECONDS, TOKEN, describe_node
from epochlab.fleet.trials import Trial

# How often Ray begins a trial again whose worker has died.
MAXIMUM_RETRIES = 3
# To hash a large dataset takes a while.
CHECK_SECONDS = 600.0


@dataclass(frozen=True)
class _Task:
    identity: str
    folder: Path
    begun: float


class RayEngine:
    """Trials as Ray tasks, each a script in a process of its own on some node.

    Ray begins a trial whose worker has died again, up to three times, and it goes on with its run.
    Where a node sees the sweep's folder, it works in it; from elsewhere the trial's folder comes
    back with the result.

    Args:
        experiment: The experiment.
        trials: Trials of the sweep, whose code and data every node has to have.
        sweep_folder: The sweep's folder.
        cpus_per_trial: CPUs that Ray reserves for each trial.
        address: As in `connect`.
        parallel: Trials at a time, or None for as many as there are CPUs for.

    Raises:
        ConfigError: If no node has so many CPUs.
        EnvironmentFault: If there is no cluster, or a node has other software, code or data.
    """

    def __init__(
        self,
        experiment: Experiment,
        trials: Sequence[Trial],
        sweep_folder: Path,
        cpus_per_trial: int,
        address: str | None,
        parallel: int | None,
    ) -> None:
        self._experiment, self._cpus = experiment, cpus_per_trial
        self._token = _read_token(sweep_folder)
        self._tasks: dict[Any, _Task] = {}
        self._ray = connect(address, cpus_per_trial * (parallel or 1))
        try:
            self._call = self._ray.remote(_make_call())
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            self.slots = _count_slots(nodes, cpus_per_trial, parallel)
            self._check_nodes(nodes, trials)
        except BaseException:
            self._ray.shutdown()
            raise

    def start(self, trial: Trial, folder: Path) -> None:
        """Hands a trial to Ray."""
        task = self._describe(trial, folder)
        reference = self._call.options(
            num_cpus=self._cpus, max_retries=MAXIMUM_RETRIES, name=trial.label
        ).remote("run_trial", task)
        self._tasks[reference] = _Task(trial.identity, folder, time.monotonic())

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Returns what has ended, as soon as anything has, or after `seconds`."""
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._take(reference) for reference in ready]

    def stop(self) -> Sequence[Outcome]:
        """Has all trials save and end, and returns how they ended."""
        for reference in self._tasks:
            self._ray.cancel(reference, force=False)
        ends, outcomes = time.monotonic() + STOP_SECONDS, []
        while self._tasks and time.monotonic() < ends:
            outcomes += self.wait(1.0)
        return outcomes

    def close(self) -> None:
        """Leaves the cluster, which ends what is still at work; one of this process's own ends."""
        self._ray.shutdown()

    def _describe(self, trial: Trial, folder: Path) -> dict[str, Any]:
        is_begun = folder.is_dir() and find_run(folder) is not None
        return {
            "identity": trial.identity,
            "experiment": self._experiment.name,
            "settings": trial.config_text,
            "folder": str(folder.absolute()),
            "working_folder": str(Path.cwd()),
            "token": self._token,
            "packed": pack_trial(folder) if is_begun else None,
            "facts": describe_node(self._experiment, trial.config),
            "switches": {key: value for key, value in os.environ.items() if SWITCHES.match(key)},
        }

    def _take(self, reference: Any) -> Outcome:
        from ray.exceptions import RayError, TaskCancelledError

        task = self._tasks.pop(reference)
        result: Mapping[str, Any]
        try:
            result = self._ray.get(reference)
        except TaskCancelledError:
            result = {"state": "interrupted", "reason": "stopped before its end"}
        except RayError as error:
            died = f"its worker died {MAXIMUM_RETRIES + 1} times"
            words = str(error).strip().splitlines() or [type(error).__name__]
            result = {"state": "failed", "reason": f"{died}: {words[0]}", "exit_code": 5}
        if result.get("packed") is not None:
            unpack_trial(result["packed"], task.folder)
        return Outcome(
            task.identity,
            result["state"],
            result.get("reason", ""),
            result.get("exit_code"),
            time.monotonic() - task.begun,
            result.get("node", ""),
            result.get("attempts", 0),
        )

    def _check_nodes(self, nodes: Sequence[Mapping[str, Any]], trials: Sequence[Trial]) -> None:
        """Refuses a cluster that has a node with other software, code or data."""
        from ray.exceptions import GetTimeoutError, RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tasks = {}
        for trial in trials:
            data = str(trial.config.model_dump().get("data"))
            if data not in tasks:
                tasks[data] = self._describe(trial, Path("/nonexistent"))
        problems = []
        for node in nodes:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            call = self._call.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
            for task in tasks.values():
                name = f"{node['NodeManagerAddress']} {node['NodeID'][:8]}"
                try:
                    found = self._ray.get(call.remote("check_node", task), timeout=CHECK_SECONDS)
                except GetTimeoutError:
                    found = {"differences": [f"no answer within {CHECK_SECONDS:.0f} s"]}
                except RayError as error:
                    found = {"differences": str(error).strip().splitlines()[:1]}
                problems += [f"node {name}: {problem}" for problem in found["differences"]]
        if problems:
            raise EnvironmentFault(
                "\n  ".join(
                    [
                        "not every node of the Ray cluster has what this machine has, so trials "
                        "would not be comparable",
                        *dict.fromkeys(problems),
                        "install the same there, or take the node out of the cluster",
                    ]
                )
            )


def _make_call() -> Any:
    """Returns the function that Ray sends to a node, by value: epochlab may be missing there."""

    def call(function: str, task: dict[str, Any]) -> dict[str, Any]:
        import ray

        context = ray.get_runtime_context()
        node = f"{ray.util.get_node_ip_address()} {context.get_node_id()[:8]}"
        try:
            from epochlab.fleet import ray_worker
        except ImportError as error:
            reason = f"epochlab cannot be loaded there ({error})"
            return {
                "differences": [reason],
                "state": "failed",
                "reason": f"node {node}: {reason}",
                "exit_code": 5,
            }
        return getattr(ray_worker, function)({**task, "node": node})

    return call


def _count_slots(
    nodes: Sequence[Mapping[str, Any]], cpus_per_trial: int, parallel: int | None
) -> int:
    cpus = [int(node["Resources"].get("CPU", 0)) for node in nodes]
    slots = sum(count // cpus_per_trial for count in cpus)
    if slots == 0:
        raise ConfigError(
            f"cpus_per_trial: {cpus_per_trial}, but the largest node of the cluster has "
            f"{max(cpus, default=0)}; give at most that many"
        )
    return min(slots, parallel) if parallel else slots


def _read_token(folder: Path) -> str:
    """Returns the word by which a node knows that it sees the same folder."""
    path = folder / TOKEN
    if not path.exists():
        write_text(path, secrets.token_hex(16))
    return path.read_text()
