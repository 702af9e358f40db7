"""`precision: auto`: bfloat16 where the hardware computes it, float32 elsewhere."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from epochlab.config import LoadedConfig, Section
from epochlab.process import load_tensorflow

Config = TypeVar("Config", bound=Section)

SECTIONS = ("training", "features")
# NVIDIA's Ampere, the first of its GPUs with bfloat16.
COMPUTE_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Bfloat16:
    """How this machine computes in bfloat16.

    Attributes:
        is_native: True: by instructions of its own. False: emulated, several times slower than
            float32. None: neither is known.
        reason: Why, for a person.
    """

    is_native: bool | None
    reason: str


def settle_precision(
    loaded: LoadedConfig[Config],
) -> tuple[LoadedConfig[Config], dict[str, Any] | None]:
    """Puts this machine's precision where the config says `auto`, and says which that is.

    Warns of a `mixed_bfloat16` that this machine only emulates. If the config has either, this
    loads TensorFlow, which alone knows of GPUs.

    Args:
        loaded: The config, its number of threads fixed.

    Returns:
        The config without `auto`, and what was settled, for `environment.json`; None: nothing.
    """
    sections = dict(loaded.config)
    asked = {name: getattr(sections.get(name), "precision", None) for name in SECTIONS}
    if not {"auto", "mixed_bfloat16"} & set(asked.values()):
        return loaded, None
    load_tensorflow(sections["training"].threads)
    found = find_bfloat16(sections["training"].devices)
    outright = [f"{name}.precision" for name in asked if asked[name] == "mixed_bfloat16"]
    if outright and found.is_native is False:
        print(
            f"warning: {' and '.join(outright)}: mixed_bfloat16 is emulated here, several times "
            f"slower than float32: {found.reason}; give a new run float32 or auto",
            file=sys.stderr,
        )
    settled = [name for name in asked if asked[name] == "auto"]
    return _settle(loaded, settled, found) if settled else (loaded, None)


def _settle(
    loaded: LoadedConfig[Config], names: Sequence[str], found: Bfloat16
) -> tuple[LoadedConfig[Config], dict[str, Any]]:
    precision = "mixed_bfloat16" if found.is_native else "float32"
    print(f"precision: {precision} ({found.reason})", flush=True)
    sections, origins = dict(loaded.config), dict(loaded.origins)
    changed = {name: sections[name].model_copy(update={"precision": precision}) for name in names}
    keys = [f"{name}.precision" for name in names]
    origins |= {key: f"{origins[key]}: auto, and {found.reason}" for key in keys}
    record = {"asked": "auto", "for": keys, "resolved": precision, "because": found.reason}
    return LoadedConfig(loaded.config.model_copy(update=changed), origins), record


def find_bfloat16(devices: str) -> Bfloat16:
    """Returns how what trains here computes in bfloat16: a GPU that TensorFlow has, or the CPU.

    Args:
        devices: `training.devices`.
    """
    import tensorflow as tf

    from epochlab.environment import list_cpu_flags  # slow to load, so only when needed

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        switch = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
        return examine_cpu(list_cpu_flags(), has_onednn=switch not in ("0", "false"))
    used = gpus if devices == "all" else gpus[:1]
    found = [examine_gpu(tf.config.experimental.get_device_details(gpu)) for gpu in used]
    return next((one for one in found if not one.is_native), found[0])


def examine_cpu(flags: Collection[str], *, has_onednn: bool) -> Bfloat16:
    """Returns how a CPU computes in bfloat16.

    Args:
        flags: All that Linux says it has, as `/proc/cpuinfo` spells it; nothing if not known.
        has_onednn: Whether TensorFlow may use oneDNN. Its own kernels are compiled for older CPUs.
    """
    if not flags:
        return Bfloat16(None, "it cannot be told whether this CPU has bfloat16")
    if not has_onednn:
        return Bfloat16(False, "TF_ENABLE_ONEDNN_OPTS switches oneDNN off")
    native = [flag.upper() for flag in ("avx512_bf16", "amx_bf16", "bf16") if flag in flags]
    if native:
        return Bfloat16(True, f"this CPU has {' and '.join(native)}")
    lacking = "no BF16" if "asimd" in flags else "neither AVX512_BF16 nor AMX_BF16"
    return Bfloat16(False, f"this CPU has {lacking}")


def examine_gpu(details: Mapping[str, Any]) -> Bfloat16:
    """Returns how a GPU computes in bfloat16, from what TensorFlow tells of it."""
    name, capability = details.get("device_name", "this GPU"), details.get("compute_capability")
    if capability is None:
        return Bfloat16(None, f"it cannot be told whether {name} has bfloat16")
    is_native = tuple(capability) >= COMPUTE_CAPABILITY
    reason = f"{name} has compute capability {'.'.join(map(str, capability))}"
    return Bfloat16(True, reason) if is_native else Bfloat16(None, f"{reason}, below 8.0")
