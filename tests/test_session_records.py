"""`sessions.json` as it may come from older versions, other people, or a damaged disk."""

from pathlib import Path

import pytest

from epochlab.errors import RunError
from epochlab.runs import Run
from epochlab.session_records import find_changes, list_accepted, read_sessions


def test_session_that_says_little_has_all_that_is_asked_for(tmp_path: Path):
    run = Run(tmp_path)
    run.write_json("sessions.json", {"sessions": [{"ended": "finished"}, {}]})
    first, second = read_sessions(run)
    assert (first["ended"], second["ended"]) == ("finished", None)
    assert find_changes(first, second) == list_accepted(run) == []


@pytest.mark.parametrize(
    "sessions",
    [
        None,
        [],
        ["text"],
        [{"changes": []}],
        [{"changes": {"seed": 1}}],
        [{"changes": {"seed": [1]}}],
        [{"config": [1]}, {}],
        [{"ended": {}}],
        [{"environment": None}],
    ],
)
def test_sessions_of_another_form_are_refused(sessions: object, tmp_path: Path):
    run = Run(tmp_path)
    run.write_json("sessions.json", {"sessions": sessions})
    with pytest.raises(RunError, match="has no whole sessions"):
        read_sessions(run)
