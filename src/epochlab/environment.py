"""What a run depends on beside its config, for `environment.json`: versions, machine, code."""

import contextlib
import hashlib
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import epochlab

PACKAGES = ("tensorflow", "keras", "numpy", "h5py")
# Variables of the environment that choose how something is computed.
SWITCHES = re.compile(
    r"TF_(ENABLE|DISABLE|USE|ONEDNN|MKL|XLA|DETERMINISTIC|CUDNN|NUM_)|ONEDNN_|DNNL_|XLA_|OMP_|NVIDIA_TF32"
)
# Instruction sets by which kernels are chosen; the names of CPUs in virtual machines tell little.
FEATURES = re.compile(r"avx|amx|fma|sse4|f16c|asimd|sve|bf16")


def describe_environment(script: Path) -> dict[str, Any]:
    """Returns what `environment.json` holds. Reads TensorFlow's settings if it is loaded.

    Args:
        script: The script that runs; the commit is that of the repository it lies in.
    """
    versions = {"epochlab": epochlab.__version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in PACKAGES}
    cpu = _first_cpu()
    return {
        "versions": versions,
        "platform": platform.platform(),
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_features": " ".join(filter(FEATURES.search, sorted(list_cpu_flags()))),
        "cpus_available": count_cpus(),
        **_tensorflow_settings(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "switches": {
            name: value for name, value in sorted(os.environ.items()) if SWITCHES.match(name)
        },
        "code_sha256": _code_sha256(script),
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


def count_cpus() -> int:
    """Returns how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int | None:
    """Returns the most memory that this process has had at once, libraries included, in bytes.

    None where the system does not tell, as on Windows.
    """
    # `getrusage` comes second: on Linux it counts the parent's memory before the start as well.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # elsewhere it counts KiB


def list_cpu_flags() -> list[str]:
    """Returns what the CPU can, as Linux spells it: `avx512_bf16`; nothing elsewhere."""
    cpu = _first_cpu()
    return (cpu.get("flags") or cpu.get("Features") or "").split()


def _first_cpu() -> dict[str, str]:
    """Returns what the system says of its first CPU, by label; nothing if it says nothing."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
        pairs = (line.partition(":") for line in text.splitlines())
        return {label.strip(): value.strip() for label, _, value in pairs}
    return {}


def _code_sha256(script: Path) -> str:
    """Returns a hash of the code that runs: the package and the script, whatever else changed."""
    package = Path(epochlab.__file__).parent
    digest = hashlib.sha256(script.read_bytes())
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _tensorflow_settings() -> dict[str, Any]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return {}
    config = tensorflow.config
    return {
        "devices": [device.name for device in config.list_logical_devices()],
        # Their number decides how sums are rounded. 0 lets TensorFlow choose: one per CPU.
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
