"""`sessions.json`: the processes that have trained in a run folder, and what differed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from epochlab.config import are_sections
from epochlab.errors import RunError
from epochlab.history import format_place
from epochlab.runs import Run

SESSIONS = "sessions.json"
KILLED = "killed, or the machine went down"

# Where things lie, how much room they may take and who else is told does not change what is
# computed: data and weights are compared by content, whatever their path.
FREE = {
    "data.path",
    "data.cache_limit",
    "features.cache_limit",
    "features.save_parts",
    "model.weights",
    "training.trackers",
}
FREE_OF_DATA = {"source", "warnings"}
# What of the environment decides the bits.
NUMERICS = ("versions", "cpu", "cpu_features", "devices", "onednn", "switches", "code_sha256")

# What a session is that says nothing: records may be older, or somebody else's.
EMPTY_SESSION: dict[str, Any] = {
    "from": format_place(0, 0),
    "begun": False,
    "changes": {},
    "ended": None,
    "data": {},
    "environment": {},
    "config": {},
}


@dataclass(frozen=True)
class Change:
    """Something that is not as it was in the session before.

    Attributes:
        key: Dotted key of the config, or what it is in the environment or data.
        was: Its value then.
        now: Its value in this session.
    """

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: was {json.dumps(self.was)}, now {json.dumps(self.now)}"


def describe_session(
    config: Mapping[str, Any], environment: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the record of a session that begins.

    Args:
        config: The whole resolved config as plain values.
        environment: As `environment.json` has it.
        data: As `data.json` has it.
    """
    return {
        "started": environment["started"],
        "command": environment["command"],
        "from": format_place(0, 0),
        "begun": False,
        "changes": {},
        "ended": None,
        "data": {key: value for key, value in data.items() if key not in FREE_OF_DATA},
        "environment": {key: environment[key] for key in NUMERICS if key in environment},
        "config": dict(config),
    }


def read_sessions(run: Run) -> list[dict[str, Any]]:
    """Returns the sessions of `run`, the first one first.

    Raises:
        RunError: If the file is missing or damaged.
    """
    sessions = run.read_json(SESSIONS).get("sessions")
    if not isinstance(sessions, list) or not sessions or not all(map(_is_session, sessions)):
        raise RunError(f"{run.path / SESSIONS}: has no whole sessions; start a new run")
    return [EMPTY_SESSION | session for session in sessions]


def _is_session(value: Any) -> bool:
    """Tells whether `value` has the form of a session, as far as it says something."""
    if not isinstance(value, dict):
        return False
    session = EMPTY_SESSION | value
    pairs = session["changes"].values() if isinstance(session["changes"], dict) else [None]
    return (
        all(isinstance(session[key], dict) for key in ("data", "environment", "config"))
        and isinstance(session["ended"], str | NoneType)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    )


def write_sessions(run: Run, sessions: Sequence[Mapping[str, Any]]) -> None:
    """Writes `sessions.json` anew."""
    run.write_json(SESSIONS, {"sessions": list(sessions)})


def begin_at(run: Run, place: str) -> None:
    """Notes that the newest session trains now, and from where; says so if not from the start.

    Before this nothing of the run is changed for good: see `resuming.unchanged_unless_begun`.
    """
    *before, newest = read_sessions(run)
    write_sessions(run, [*before, newest | {"from": place, "begun": True}])
    if newest["from"] != place:
        print(f"going on from {place}", flush=True)


def end_session(run: Run, how: str) -> None:
    """Notes how the newest session ended. One without this was killed."""
    *before, newest = read_sessions(run)
    write_sessions(run, [*before, newest | {"ended": how}])


def find_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Returns what differs between two sessions and can change the result."""
    pairs = (
        *_differing(before["config"], now["config"]),
        *_differing(before["environment"], now["environment"]),
        *_differing(before["data"], now["data"], "data"),
    )
    return [Change(*pair) for pair in pairs if pair[0] not in FREE]


def is_extension(change: Change, config: Mapping[str, Any]) -> bool:
    """Returns whether `change` only adds epochs at the end."""
    grows = isinstance(change.was, int) and change.now > change.was
    return change.key == find_extension_key(config) and grows


def find_extension_key(config: Mapping[str, Any]) -> str | None:
    """Returns the key whose rise only adds epochs at the end; None: there is none.

    The learning rate must not depend on how many there are: with a cosine schedule the earlier
    epochs would have been others.
    """
    phases = config.get("phases")
    place = f"phases.{len(phases) - 1}" if phases else "training"
    last = phases[-1] if phases else config.get("training", {})
    # An experiment of a user's own may have no schedule.
    return None if last.get("schedule") == "cosine" else f"{place}.epochs"


def list_accepted(run: Run) -> list[Change]:
    """Returns all changes that were accepted with --allow-changes in the course of `run`."""
    return [
        Change(key, *values)
        for session in read_sessions(run)
        for key, values in session["changes"].items()
    ]


def _differing(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Gives dotted key and both values of each difference, down to the leaves."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            dotted = f"{key}.{name}" if key else str(name)
            yield from _differing(before.get(name), now.get(name), dotted)
    elif are_sections(before) and are_sections(now) and len(before) == len(now):
        for position, pair in enumerate(zip(before, now, strict=True)):
            yield from _differing(*pair, f"{key}.{position}")
    elif before != now:
        yield key, before, now
