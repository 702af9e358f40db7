"""What a node of a Ray cluster does: says what it has, and carries out one trial.

This runs on the node. It loads neither Ray nor TensorFlow; the trial is a process of its own.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochlab.config import Section
from epochlab.config.loading import check_source
from epochlab.config.source import Source
from epochlab.environment import SWITCHES, describe_environment
from epochlab.errors import DataError, EpochlabError
from epochlab.files import make_folder, write_text
from epochlab.fleet.experiments import Experiment, find_experiment, fingerprint_data
from epochlab.fleet.ledger import SETTINGS
from epochlab.fleet.packing import pack_trial, unpack_trial
from epochlab.fleet.processes import TrialProcess

TOKEN = ".token"
POLL_SECONDS = 0.2
STOP_SECONDS = 60.0

_fingerprints: dict[str, str] = {}


def describe_node(experiment: Experiment, config: Section) -> dict[str, str]:
    """Returns what has to be the same on every machine: versions, code and data.

    Args:
        experiment: The experiment.
        config: A trial's config, for its data.

    Raises:
        DataError: If the data is missing or damaged.
    """
    environment = describe_environment(experiment.script)
    facts = {name: str(version) for name, version in environment["versions"].items()}
    facts["code (SHA-256 of epochlab and the script)"] = environment["code_sha256"][:12]
    key = json.dumps(config.model_dump(mode="json").get("data"), sort_keys=True)
    if key not in _fingerprints:
        try:
            _fingerprints[key] = fingerprint_data(config)
        except DataError as error:
            _fingerprints[key] = f"none: {error}"
    return facts | {"data (SHA-256)": _fingerprints[key][:80]}


def find_differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Returns in what a node differs from the machine that drives the sweep."""
    return [
        f"{name}: {found.get(name, 'missing')} there, {value} here"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def check_node(task: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{"differences": [...]}`: why this node cannot take trials of the task's kind."""
    return {"differences": _check(task)[1]}


def run_trial(task: Mapping[str, Any]) -> dict[str, Any]:
    """Carries out one trial, or goes on with it where an earlier attempt ended.

    Args:
        task: What `RayEngine` sends.

    Returns:
        What an `Outcome` needs and, where the sweep's folder cannot be seen from here, the trial's
        folder as bytes under `packed`.
    """
    experiment, differences = _check(task)
    if experiment is None or differences:
        reason = f"node {task['node']} is not like this one: {'; '.join(differences)}"
        return {"state": "failed", "reason": reason, "exit_code": 5}
    folder = Path(task["folder"])
    is_shared = _is_shared(folder.parent.parent, task["token"])
    if not is_shared:
        folder = _make_scratch(task)
    outcome = _carry_out(task, experiment, folder)
    if not is_shared:
        outcome["packed"] = pack_trial(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _check(task: Mapping[str, Any]) -> tuple[Experiment | None, list[str]]:
    """Returns the experiment as it is here, and in what it differs."""
    if Path(task["working_folder"]).is_dir():
        os.chdir(task["working_folder"])
    try:
        experiment = find_experiment(task["experiment"])
        config = _read_settings(experiment, task["settings"])
        return experiment, find_differences(task["facts"], describe_node(experiment, config))
    except EpochlabError as error:
        return None, [str(error)]


def _read_settings(experiment: Experiment, text: str) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SETTINGS
        path.write_text(text, encoding="utf-8")
        return check_source(experiment.schema, Source(path)).config


def _is_shared(folder: Path, token: str) -> bool:
    try:
        return (folder / TOKEN).read_text() == token
    except OSError:
        return False


def _make_scratch(task: Mapping[str, Any]) -> Path:
    """Makes the folder of a trial on this node, with what an earlier call has of it."""
    place = Path(tempfile.gettempdir()) / f"epochlab-{os.getuid()}" / task["token"]
    folder = place / task["identity"]
    if not folder.exists():
        make_folder(folder)
        if task["packed"] is not None:
            unpack_trial(task["packed"], folder)
    write_text(folder / SETTINGS, task["settings"])
    return folder


def _carry_out(task: Mapping[str, Any], experiment: Experiment, folder: Path) -> dict[str, Any]:
    process = None
    try:
        while process is None:
            try:
                process = TrialProcess(
                    task["identity"],
                    experiment.script,
                    folder,
                    _environment(task["switches"]),
                    node=task["node"],
                )
            except BlockingIOError:  # of a worker that was killed; it is saving
                time.sleep(POLL_SECONDS)
        while (outcome := process.poll()) is None:
            time.sleep(POLL_SECONDS)
    except BaseException:  # Ray cancels
        if process is not None:
            _stop(process)
        raise
    return {
        "state": outcome.state,
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
        "node": outcome.node,
        "attempts": outcome.attempts,
    }


def _environment(switches: Mapping[str, str]) -> dict[str, str]:
    """Returns this process's variables, with those that change the bits as the driver has them.

    Ray sets some by itself, such as OMP_NUM_THREADS.
    """
    kept = {name: value for name, value in os.environ.items() if not SWITCHES.match(name)}
    return kept | dict(switches)


def _stop(process: TrialProcess) -> None:
    process.stop()
    ends = time.monotonic() + STOP_SECONDS
    while process.poll() is None:
        if time.monotonic() > ends:
            process.kill()
        time.sleep(POLL_SECONDS)
