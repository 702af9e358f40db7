"""What a run depends on beside its config, for `environment.json`: versions, machine, code."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import epochlab

PACKAGES = ("tensorflow", "keras", "numpy", "h5py")


def describe_environment(script: Path) -> dict[str, Any]:
    """Returns what `environment.json` holds. Reads TensorFlow's settings if it is loaded.

    Args:
        script: The script that runs; the commit is that of the repository it lies in.
    """
    versions = {"epochlab": epochlab.__version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in PACKAGES}
    return {
        "versions": versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        # TensorFlow starts this many threads, and their number decides how sums are rounded.
        "cpus_available": _cpus_available(),
        **_tensorflow_settings(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "git": _git_state(script.parent),
        "command": [Path(sys.executable).name, *sys.argv],
        "script": str(script),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    """Returns the CPU's model: another one may round differently."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cpus_available() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _tensorflow_settings() -> dict[str, Any]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return {}
    config = tensorflow.config
    return {
        "devices": [device.name for device in config.list_logical_devices()],
        # 0 lets TensorFlow choose: one thread per core.
        "threads": {
            "intra_op": config.threading.get_intra_op_parallelism_threads(),
            "inter_op": config.threading.get_inter_op_parallelism_threads(),
        },
    }


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Returns commit and dirty flag of the repository around `folder`, or None without one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain").strip())}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
