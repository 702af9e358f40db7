"""The way to a Ray cluster: an existing one, or one of this machine's own for the time being."""

import contextlib
import os
import socket
import subprocess
import sys
from typing import Any

from epochlab.environment import count_cpus
from epochlab.errors import ConfigError, EnvironmentFault

CONNECT_SECONDS = 10.0
# Ray itself tries for minutes.
HEALTH_SECONDS = 60.0
OBJECT_STORE_BYTES = 256 * 2**20
CLIENT = "ray://"


def connect(address: str | None, cpus: int) -> Any:
    """Connects to a cluster and returns the module `ray`.

    Args:
        address: `HOST:PORT`, `auto`, or None for a new cluster on this machine.
        cpus: At least so many CPUs has a new cluster.

    Raises:
        EnvironmentFault: If Ray is not installed, or the cluster does not answer in time.
        ConfigError: If the address is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise EnvironmentFault(
            f"--engine ray: Ray is not installed ({error}); pip install 'epochlab[ray]'"
        ) from error
    if address is not None and address != "auto":
        check_address(address)
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if address is None:
            ray.init(
                num_cpus=max(count_cpus(), cpus),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # on a slow machine it is a bare one
        where = "a cluster on this machine" if address is None else f"--address {address}"
        raise EnvironmentFault(
            f"{where}: Ray cannot connect ({str(error).splitlines()[0]}); is it running, with the "
            "same versions of Ray and Python? ray status tells"
        ) from error
    return ray


def check_address(address: str) -> None:
    """Finds out in bounded time whether a cluster answers at `address`.

    Raises:
        ConfigError: If it is no address.
        EnvironmentFault: If nothing answers, or what does is no Ray cluster.
    """
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"--address {address}: expected HOST:PORT, what `ray start --head` prints, or auto"
        )
    try:
        with contextlib.closing(
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
        ):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(
            f"--address {address}: nothing answers there ({reason}, within {CONNECT_SECONDS:.0f} "
            "s); start a cluster with ray start --head, or leave --address out"
        ) from error
    if not address.startswith(CLIENT) and not _is_healthy(address):
        raise EnvironmentFault(
            f"--address {address}: something answers there, but it is no Ray cluster of this "
            "version; give what `ray start --head` prints"
        )


def _is_healthy(address: str) -> bool:
    # In a process of its own: Ray has no call that gives up.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        return subprocess.run(command, capture_output=True, timeout=HEALTH_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
