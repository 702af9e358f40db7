"""One bad input and what Epochlab must answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from command import Command, Outcome, run
from folder_state import list_changes, read_state
from workshop import Workshop


class NotHere(Exception):
    """The case cannot be tried on this machine; the reason is for the table."""


@dataclass(frozen=True)
class Place:
    """Where a case is tried.

    Attributes:
        path: A folder of its own, the command's working folder.
        workshop: What several cases share.
    """

    path: Path
    workshop: Workshop


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        row: Number of the promise.
        name: The input, for a person.
        make: Makes the input and returns the command.
        code: The exit code.
        says: What the answer must name: file or key, and the remedy.
        loads: What the command loads before it answers: `little`, or `tensorflow`.
        answers: `error`: one message on stderr and nothing else there; `report`: the command does
            its work and tells of the input; `signal`: it was stopped and says how to go on.
        changes: Patterns of the paths that the command may add or change.
        seconds: Time on the CPU that the work takes beyond starting.
        check: What else must hold then.
        shows: What the table shows of the answer; None: the lines of it that the case names.
        once: Name of the process that several cases look at, or None for one of its own.
    """

    row: int
    name: str
    make: Callable[[Place], Command]
    code: int
    says: tuple[str, ...]
    loads: str = "little"
    answers: str = "error"
    changes: tuple[str, ...] = ()
    seconds: float = 2.0
    check: Callable[[Place, Outcome], object] | None = None
    shows: str | None = None
    once: str | None = None

    @property
    def identity(self) -> str:
        """`row07-billion-laughs`."""
        return f"row{self.row:02}-{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}"


@dataclass
class Cases:
    """Cases in the making; a function that makes an input becomes one by `@cases(...)`."""

    listed: list[Case] = field(default_factory=list)

    def __call__(self, row: int, name: str, code: int, *says: str, **more):
        """Returns a decorator for the function that makes the input."""

        def add(make: Callable[[Place], Command]):
            self.listed.append(Case(row, name, make, code, says, **more))
            return make

        return add


@dataclass(frozen=True)
class Answer:
    """What a command answered, with its words for the table."""

    command: Command
    outcome: Outcome
    changed: list[str]


def try_case(case: Case, workshop: Workshop) -> Answer:
    """Runs the case and checks all that holds for every one.

    Raises:
        AssertionError: If the answer falls short.
        NotHere: If it cannot be tried on this machine.
    """
    place, answer = _answer(case, workshop)
    outcome = answer.outcome
    told = f"{outcome.stdout}\n{outcome.stderr}"
    assert outcome.code == case.code, f"exit code {outcome.code}\n{told}"
    assert "Traceback" not in told, told
    _check_form(case, outcome)
    for words in case.says:
        assert words in told, f"does not say {words!r}:\n{told}"
    assert not answer.changed, f"changed or left behind: {answer.changed}"
    start = workshop.starting(case.loads)
    most = 2 * start.cpu_seconds + case.seconds
    assert outcome.cpu_seconds < most, f"took {outcome.cpu_seconds:.1f} s, at most {most:.1f}"
    limit = start.peak_bytes + workshop.MORE_BYTES[case.loads]
    assert outcome.peak_bytes < limit, f"took {outcome.peak_bytes:,} bytes, at most {limit:,}"
    if case.check is not None:
        case.check(place, outcome)
    return answer


def _answer(case: Case, workshop: Workshop) -> tuple[Place, Answer]:
    if case.once is not None and case.once in workshop.answered:
        return workshop.answered[case.once]
    place = Place(workshop.new_folder(), workshop)
    command = case.make(place)
    before = read_state(place.path)
    outcome = run(command, place.path, workshop.environment(place.path))
    changed = list_changes(before, read_state(place.path), case.changes)
    answer = Answer(command, outcome, changed)
    if case.once is not None:
        workshop.answered[case.once] = place, answer
    return place, answer


def _check_form(case: Case, outcome: Outcome) -> None:
    """Checks that an error is one message, alone on stderr."""
    errors = re.findall("^error: ", outcome.stderr, re.MULTILINE)
    if case.answers == "error":
        assert outcome.stderr.startswith("error: ") and len(errors) == 1, outcome.stderr
    elif case.answers == "report":
        assert not errors, outcome.stderr
