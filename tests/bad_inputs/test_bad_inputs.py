"""Each bad input as a user meets it: exit code, one message, bounded time and memory, no harm."""

from collections import Counter
from pathlib import Path

import pytest
from case import Case, NotHere, try_case
from cases import CASES, PROMISES
from table import PAGE, read_lines
from workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("bad_inputs"))


def mark(case: Case):
    marks = [pytest.mark.slow] if case.loads == "tensorflow" else []
    return pytest.param(case, id=case.identity, marks=marks)


@pytest.mark.parametrize("case", [mark(case) for case in CASES])
def test_bad_input(case: Case, workshop: Workshop):
    try:
        try_case(case, workshop)
    except NotHere as reason:
        pytest.skip(str(reason))


def test_every_promise_is_tried():
    assert {case.row for case in CASES} == set(PROMISES) == set(range(1, 53))
    assert len(CASES) >= 150
    twice = [name for name, count in Counter(case.identity for case in CASES).items() if count > 1]
    assert not twice


def test_the_table_has_exactly_these_cases():
    listed = {identity: code for identity, code, _ in read_lines(Path(PAGE))}
    assert list(listed) == [case.identity for case in CASES], "run tests/bad_inputs/table.py"
    for case in CASES:
        assert listed[case.identity] in (str(case.code), "-")
