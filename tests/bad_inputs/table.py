"""Writes `docs/bad-inputs.md`: each case with what it was answered, as it was just seen.

python tests/bad_inputs/table.py            all cases
python tests/bad_inputs/table.py row07 zip  those with this in their name; other lines stay
"""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":  # pytest has seen to it otherwise
    sys.path.insert(1, str(Path(__file__).parent.parent))

from case import Answer, Case, NotHere, try_case
from cases import CASES, PROMISES
from conftest import ROOT
from workshop import Workshop

PAGE = ROOT / "docs" / "bad-inputs.md"
SHOWN_COMMAND, SHOWN_HEADING, SHOWN_ANSWER = 90, 80, 260
PARTS = {
    1: "Configurations", 12: "Photographs", 32: "Archives, downloads", 36: "Weights and models",
    39: "Run folders", 48: "Training and surroundings", 51: "Many runs",
}  # fmt: skip
HEAD = """\
# Bad inputs and what Epochlab answers

Each line below is a real command in a process of its own, which `tests/bad_inputs` runs in every
test run. The exit code is 2 for a config or usage mistake, 3 for data, 4 for a run folder, a
checkpoint or weights, 5 for the machine, 6 where training diverged, 130 where it was stopped. Of
every answer is also checked: one message on stderr and no traceback; at most 2 seconds of CPU
beyond what starting takes, unless a training is part of it; at most 100 MiB of memory beyond it,
400 MiB where TensorFlow is loaded; no file changed, added or left behind that should not be.

`python tests/bad_inputs/table.py` writes this page, `pytest tests/bad_inputs -k row07` tries the
cases of a row. A dash: not tried on the machine where this page was made.

In CSV files, a text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`,
a tab or a line break) has an apostrophe in front; numbers stay numbers.
`epochlab.csv_text.parse_csv` gives every text back as it was. A relative file name that begins so
gets `./` instead, which still names the file.
"""


def read_lines(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yields identity, exit code and whole line of each case on the page."""
    for line in page.read_text(encoding="utf-8").splitlines() if page.exists() else ():
        if found := re.match(r"\| `(row[^`]+)` \| .* \| (-?\d+|-) \| ", line):
            yield found[1], found[2], line


def write_page(tried: dict[str, str]) -> None:
    """Writes the page: lines of the cases that were tried, and the others as they stand there."""
    known = {identity: line for identity, _, line in read_lines(PAGE)} | tried
    text = [HEAD]
    for row, promise in PROMISES.items():
        if row in PARTS:
            text.append(f"## {PARTS[row]}\n")
        text.append(f"**{row}. {promise}**\n")
        text.append("| case | command | exit code | answer |\n| --- | --- | --- | --- |")
        names = [case.identity for case in CASES if case.row == row]
        text.append("\n".join(known.get(name, _line(name, "", "-", "not tried")) for name in names))
        text.append("")
    PAGE.write_text("\n".join(text), encoding="utf-8")


def describe(case: Case, answer: Answer, workshop: Workshop) -> str:
    """Returns the line of a case that was tried."""
    command = _normalise(_shorten(_show_command(answer), SHOWN_COMMAND), workshop)
    said = case.shows or _find_answer(case, answer)
    said = _shorten(_normalise(said, workshop), SHOWN_ANSWER)
    return _line(case.identity, command, str(case.code), said)


def _line(name: str, command: str, code: str, said: str) -> str:
    return f"| `{name}` | {_cell(command)} | {code} | {_cell(said)} |"


def _show_command(answer: Answer) -> str:
    words = list(answer.command.words)
    if sys.executable in words:  # what is before it only makes the surroundings
        words = words[words.index(sys.executable) :]
    text = shlex.join(words).replace(sys.executable, "python", 1)
    text = text.replace("python -m epochlab.cli", "epochlab").replace(f"{ROOT}/", "")
    settings = [f"{name}={value}" for name, value in answer.command.environment.items() if value]
    return " ".join([*settings[:2], text])


def _find_answer(case: Case, answer: Answer) -> str:
    """Returns the lines of the answer that matter."""
    outcome = answer.outcome
    text = outcome.stderr if case.answers == "error" else f"{outcome.stdout}\n{outcome.stderr}"
    lines = [line.strip() for line in text.splitlines()]
    telling = [line for line in lines if any(words in line for words in case.says)]
    if case.answers == "error" and lines[0] not in telling:
        telling.insert(0, _shorten(lines[0], SHOWN_HEADING))
    return " / ".join(telling)


def _normalise(text: str, workshop: Workshop) -> str:
    """Takes out what is another at each place and time."""
    for old, new in (
        (str(workshop.base), "/tmp/..."),
        (f"{ROOT}/", ""),
        (sys.executable, "python"),
        (os.uname().nodename, "HOST"),
    ):
        text = text.replace(old, new)
    text = re.sub(r"/tmp/\.\.\./case\d+/?", "", text)
    text = re.sub(r"\d{8}T\d{6}Z(-seed\d+)", r"TIME\1", text)
    text = re.sub(r'(cpu: was "Abacus", now )"[^"]*"', r"\1...", text)
    text = re.sub(r"(threads: was )\d+", r"\1N", text)
    text = re.sub(r"[\d,]+( bytes)? are free", r"N\1 are free", text)
    return re.sub(r"0x[0-9a-f]{8,}", "0x...", text)


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def _cell(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return "`" + (shown.replace("`", "'").replace("|", "\\|") or " ") + "`"


def main() -> None:
    """Tries the cases and writes the page; one that falls short ends with an error."""
    wanted = sys.argv[1:] or [""]
    tried, failed = {}, 0
    with tempfile.TemporaryDirectory() as base:
        workshop = Workshop(Path(base))
        for case in CASES:
            name = case.identity
            if not any(part in name for part in wanted):
                continue
            try:
                tried[name] = describe(case, try_case(case, workshop), workshop)
            except NotHere as reason:
                tried[name] = _line(name, "", "-", str(reason))
            except AssertionError as error:
                failed += 1
                print(f"{name}: {error}", file=sys.stderr)
            print(tried.get(name, f"{name}: fell short"), flush=True)
    write_page(tried)
    sys.exit(f"{failed} cases fell short" if failed else 0)


if __name__ == "__main__":
    main()
