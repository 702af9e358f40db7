"""What a session that does not come to train leaves of the run that it was to go on with."""

from pathlib import Path

import pytest
from conftest import record_run

from epochlab.errors import RunError
from epochlab.history import format_place
from epochlab.resuming import unchanged_unless_begun
from epochlab.runs import Run
from epochlab.session_records import begin_at, read_sessions, write_sessions


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    """A finished run whose last session trained."""
    run = record_run(tmp_path)
    write_sessions(run, [read_sessions(run)[0] | {"begun": True}])
    return run


def change(run: Run, *, is_recorded: bool) -> None:
    """Does what `begin_session` does, with or without its last write."""
    (run.path / "metrics.json").unlink()
    run.config_path.write_text("seed: 2\n")
    (run.path / "model.png").write_bytes(b"another network")
    if is_recorded:
        write_sessions(run, [*read_sessions(run), {"config": {"seed": 2}}])


def contents(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


@pytest.mark.parametrize("error", [RunError("refused"), KeyboardInterrupt(), OSError("full")])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_session_that_does_not_train_changes_nothing(finished, error, is_recorded):
    before = contents(finished)
    with pytest.raises(type(error)), unchanged_unless_begun(finished):
        change(finished, is_recorded=is_recorded)
        raise error
    assert contents(finished) == before
    assert finished.is_finished


def test_a_session_that_has_begun_to_train_stays(finished):
    with pytest.raises(RunError), unchanged_unless_begun(finished):
        change(finished, is_recorded=True)
        begin_at(finished, format_place(3, 0))
        raise RunError("the disk is full")
    assert not finished.is_finished
    assert finished.config_path.read_text() == "seed: 2\n"
    assert [session["begun"] for session in read_sessions(finished)] == [True, True]
