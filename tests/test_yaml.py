"""YAML read strictly: what each scalar means, and the one clear line for each nasty file."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from epochlab.config.yaml_events import MAX_DEPTH
from epochlab.config.yaml_reader import parse_value, parse_yaml, read_yaml
from epochlab.errors import ConfigError


def refusal(content: str | bytes) -> str:
    """Returns the message that refuses `content`."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(content, "a.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("NULL", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("017", "017"),
        ("017.5", "017.5"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("tRue", "tRue"),
        ("1e", "1e"),
        (".", "."),
        ("'32'", "32"),
        ('"null"', "null"),
        ('""', ""),
    ],
)
def test_scalar_follows_the_core_schema(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}", "a.yaml").values["key"]
    assert (read, type(read)) == (value, type(value))


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_yaml("key: .nan", "a.yaml").values["key"])


def test_block_scalar_is_text() -> None:
    assert parse_yaml("key: |\n  12\n", "a.yaml").values == {"key": "12\n"}


def test_integer_of_5000_digits_is_no_crash() -> None:
    digits = "9" * 5000
    assert parse_yaml(f"key: {digits}", "a.yaml").values in ({"key": digits}, {"key": math.inf})


def test_keys_stay_text() -> None:
    assert parse_yaml("1: a\nno: b\nnull: c", "a.yaml").values == {"1": "a", "no": "b", "null": "c"}


def test_merge_key_means_nothing() -> None:
    assert parse_yaml("<<: {a: 1}", "a.yaml").values == {"<<": {"a": 1}}


def test_lines_name_every_key_and_item() -> None:
    document = parse_yaml("# head\na:\n  b: [1,\n    2]\n\nc: {d: 3}\n", "a.yaml")
    assert document.values == {"a": {"b": [1, 2]}, "c": {"d": 3}}
    expected = {("a",): 2, ("a", "b"): 3, ("a", "b", 0): 3, ("a", "b", 1): 4}
    expected |= {("c",): 6, ("c", "d"): 6}
    assert {path: line for path, line in document.lines.items() if path} == expected


def test_duplicate_key_names_both_lines() -> None:
    message = refusal("a:\n  epochs: 1\n  other: 2\n  epochs: 3\n")
    assert message.startswith("a.yaml:4: a.epochs")
    assert "line 2" in message


def test_key_without_value_twice_is_a_duplicate() -> None:
    assert refusal("a:\na: 1\n").startswith("a.yaml:2: a")


def test_one_key_may_stand_in_two_list_items() -> None:
    assert parse_yaml("a: [{b: 1}, {b: 2}]", "a.yaml").values == {"a": [{"b": 1}, {"b": 2}]}


@pytest.mark.parametrize(
    ("content", "start", "found"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [ls]", "a.yaml:2: ", "tags are not allowed"),
        ("a: !!str 1", "a.yaml:1: ", "tags are not allowed"),
        ("a: ! 1", "a.yaml:1: ", "tags are not allowed"),
        ("a: !x!y 1", "a.yaml:1: ", "tags are not allowed"),
        ("a: &x 1", "a.yaml:1: ", "anchors"),
        ("a: 1\nb: *x", "a.yaml:2: ", "aliases"),
        ("a: &x [*x]", "a.yaml:1: ", "anchors"),
        ("", "a.yaml:1: ", "empty"),
        ("# only a comment\n", "a.yaml:1: ", "empty"),
        ("- 1\n- 2\n", "a.yaml:1: ", "a list at the top"),
        ("# head\nhello\n", "a.yaml:2: ", "at the top"),
        ("null\n", "a.yaml:1: ", "a single value"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: ", "second document"),
        ("a:\n\tb: 1\n", "a.yaml:2: ", "found a tab"),
        ("a:\n  b: 1\n\tc: 2\n", "a.yaml:3: ", "found a tab"),
        ("a: 1\n[b]: 2\n", "a.yaml:2: ", "key"),
        ("a: [1, 2\nb: 3\n", "a.yaml:2: ", "brackets"),
        ("a: b: c\n", "a.yaml:1: ", "colons"),
        ('a: "x\n', "a.yaml:1: ", "quotes"),
        ('a: "\\ud800"\n', "a.yaml:1: ", "surrogate"),
        ('"\\ud800": 1\n', "a.yaml:1: ", "surrogate"),
        (b"\xef\xbb\xbfa: 1\n", "a.yaml:1: ", "byte order mark"),
        ("a: 1\n".encode("utf-16"), "a.yaml:1: ", "UTF-16"),
        ("a: 1\n".encode("utf-16-be"), "a.yaml:1: ", "UTF-16"),
        (b"a: 1\nb: \0\n", "a.yaml:2: ", "NUL"),
        ("a: 1\nb: caf\u00e9\n".encode("latin-1"), "a.yaml:2: ", "0xe9"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a.yaml:1: ", "0x89"),
        (b"a: \x07\n", "a.yaml:1: ", "U+0007"),
    ],
)
def test_nasty_text_is_refused_in_one_line(content: str | bytes, start: str, found: str) -> None:
    message = refusal(content)
    assert message.startswith(start)
    assert found in message
    assert "\n" not in message


def test_alias_bomb_is_refused_at_its_first_anchor() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert refusal("\n".join(levels)).startswith("a.yaml:1: anchors")


@pytest.mark.parametrize(
    "content",
    [
        "a: " + "[" * 10_000 + "]" * 10_000,
        "a: " + "{a: " * 10_000,
        "- " * 10_000,
        "\n".join(" " * depth + "a:" for depth in range(1_200)),
    ],
    ids=["lists", "mappings", "dashes", "indents"],
)
def test_deep_nesting_is_refused(content: str) -> None:
    assert f"nested more than {MAX_DEPTH}" in refusal(content)


def test_deepest_allowed_nesting_is_read() -> None:
    inside = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert isinstance(parse_yaml(f"a: {inside}", "a.yaml").values["a"], list)


def test_many_values_are_refused_within_two_seconds() -> None:
    start = time.process_time()
    assert "values" in refusal("\n".join(f"k{n}: {n}" for n in range(70_000)))
    assert time.process_time() - start < 2


def test_large_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)
    with pytest.raises(ConfigError, match="50,000,000,000 bytes"):
        read_yaml(path)


def test_directory_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        read_yaml(tmp_path)


def test_missing_file_suggests_a_near_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/lenet_mnist.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(Path("configs/lenet_mnst.yaml"))
    assert str(caught.value).startswith("configs/lenet_mnst.yaml: ")
    assert "did you mean configs/lenet_mnist.yaml?" in str(caught.value)


def test_missing_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "nowhere" / "a.yaml")


def test_file_below_a_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "a.yaml" / "b.yaml")


def test_null_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        read_yaml(Path("/dev/null"))


def test_file_with_crlf_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\r\nb: two\r\n")
    document = read_yaml(path)
    assert document.values == {"a": 1, "b": "two"}
    assert document.lines[("b",)] == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("  ", None),
        ("1e-3", 0.001),
        ("no", "no"),
        ("'7'", "7"),
        ("[20, 50]", [20, 50]),
        ("{name: sgd, nesterov: true}", {"name": "sgd", "nesterov": True}),
        ("C:\\data", "C:\\data"),
    ],
)
def test_command_line_value(text: str, value: Any) -> None:
    assert parse_value(text, "--set key") == value


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        "- 1",
        "#5",
        "*x",
        "!!int 1",
        "[1",
        "@a",
        "{a: 1, a: 2}",
        "a\0b",
        "1\n---\n2",
        "\udc80",
    ],
)
def test_command_line_value_is_refused_with_its_flag(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_value(text, "--set key")
    assert str(caught.value).startswith("--set key: ")


@pytest.mark.parametrize(
    "content",
    [
        '"\\e[2J": 1\n"\\e[2J": 2\n',
        "a: !%1B%5B2J 1\n",
        "a: !<%1B%5B2J> 1\n",
        '"\\n": 1\n"\\n": 2\n',
    ],
)
def test_message_shows_no_control_characters(content: str) -> None:
    assert refusal(content).isprintable()
