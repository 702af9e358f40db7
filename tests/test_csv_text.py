"""CSV that a spreadsheet shows and never computes, and that is read back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochlab.csv_text import format_csv, parse_csv

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_would_be_computed_gets_an_apostrophe(text: str):
    line = format_csv([[text, 1]])
    assert line.lstrip('"').startswith("'")
    assert parse_csv(line) == [[text, "1"]]


def test_numbers_and_other_texts_stay_as_they_are():
    row = [-1, -0.5, None, "train/=x.jpg", "it's", "'quoted'", "a-b", "", "1e-3"]
    assert format_csv([row]) == "-1,-0.5,,train/=x.jpg,it's,'quoted',a-b,,1e-3\n"


def test_text_that_has_the_apostrophe_already_stays_another():
    assert format_csv([["=1", "'=1", "''=1"]]) == "'=1,''=1,'''=1\n"


CELLS = st.text() | st.text(alphabet="'=+-@\t\r\n,\"a")


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=4)))
def test_every_table_of_texts_is_read_back(rows: list[list[str]]):
    assert parse_csv(format_csv(rows)) == rows
