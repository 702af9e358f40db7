"""What holds for every input, not only for the ones that somebody thought of."""

import contextlib
import os
import string
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CONFIGS, EXPERIMENTS, SCRIPTS, load_experiment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochlab.array_archive import ArchiveFault, read_arrays
from epochlab.config import Section, dump_config, list_settings, load_config
from epochlab.config.yaml_reader import parse_yaml
from epochlab.data.prepare import prepare
from epochlab.errors import ConfigError, EpochlabError
from epochlab.history import Epoch, format_history, read_whole_rows
from epochlab.script_files import shipped_config

# Several tests write to a folder of the whole module; the names are the examples' own.
QUICK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Configs.


@cache
def schema(experiment: str) -> type[Section]:
    return type(load_experiment(experiment))


@cache
def shipped_settings(experiment: str) -> dict[str, Any]:
    return list_settings(load_experiment(experiment).model_dump(mode="json"))


SCALARS = st.one_of(
    st.sampled_from(
        ["null", "true", "0", "1", "-1", "0.5", "1e-3", "1e400", ".nan", "relu", "adam", "[]", "{}",
         "[3, 4]", "[[1]]", "{name: adam}", "head", "{from: block5_conv1}", "'7'", "best", "*a",
         "imagenet", "&a 1", "!!int 1", "[1", "}", "- 1", "a: 1", "#", "\t", "\x1b[2J", "\ud800"]
    ),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8),
)  # fmt: skip


@st.composite
def overrides(draw: st.DrawFn, experiment: str) -> list[str]:
    """Texts for `--set`: mostly real keys, some of them misspelt, with values of every kind."""
    keys = sorted(shipped_settings(experiment))
    sections = sorted({key.rpartition(".")[0] for key in keys} - {""})
    key = st.one_of(
        st.sampled_from(keys),
        st.sampled_from(sections),
        st.sampled_from(keys).map(lambda text: text[:-1]),
        st.text(string.ascii_lowercase + ".=\x1b\n0", max_size=12),
    )
    same = st.sampled_from(keys).flatmap(lambda text: st.just((text, None)))
    pair = st.one_of(same, st.tuples(key, SCALARS))
    texts = []
    for name, value in draw(st.lists(pair, max_size=4)):
        text = value if value is not None else format_setting(shipped_settings(experiment)[name])
        texts.append(f"{name}={text}")
    return texts


def format_setting(value: Any) -> str:
    from epochlab.config.yaml_writer import format_value

    return format_value(value)


@pytest.mark.parametrize("experiment", ["lenet_mnist", "cats_dogs_vgg16_finetune"])
@QUICK
@given(data=st.data())
def test_any_sequence_of_settings_is_taken_or_answered(
    experiment: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    given_settings = data.draw(overrides(experiment))
    path = CONFIGS / f"{experiment}.yaml"
    try:
        loaded = load_config(schema(experiment), path, given_settings)
    except ConfigError as error:
        lines = str(error).splitlines()
        assert lines
        for line in lines:
            assert line.strip()
            assert line.isprintable()
        assert "pydantic" not in str(error)
        return
    written = tmp_path_factory.getbasetemp() / "written.yaml"
    written.write_text(dump_config(loaded.config), encoding="utf-8")
    again = load_config(schema(experiment), written).config
    assert again == loaded.config
    assert dump_config(again) == dump_config(loaded.config)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_shipped_config_reads_back_equal_as_does_each_of_its_values(
    experiment: str, tmp_path: Path
):
    shipped = shipped_config(SCRIPTS / f"{experiment}.py")
    config = load_config(schema(experiment), shipped).config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    every = [
        f"{key}={format_setting(value)}" for key, value in shipped_settings(experiment).items()
    ]
    assert load_config(schema(experiment), path).config == config
    assert load_config(schema(experiment), path, every).config == config


@QUICK
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes_are_a_mapping_or_one_line_with_its_number(content: bytes | str):
    try:
        document = parse_yaml(content, "a.yaml")
    except ConfigError as error:
        message = str(error)
        assert message.isprintable()
        number = message.removeprefix("a.yaml:").partition(":")[0]
        assert 1 <= int(number) <= content.count("\n" if isinstance(content, str) else b"\n") + 2
        return
    assert isinstance(document.values, dict)


# Histories.

NUMBERS = st.floats(allow_nan=False)
FIGURES = st.tuples(NUMBERS, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, NUMBERS, NUMBERS)


@QUICK
@given(rows=st.lists(FIGURES, max_size=4), data=st.data())
def test_history_that_is_cut_anywhere_gives_its_whole_rows(
    rows: list[tuple[Any, ...]], data: st.DataObject, tmp_path: Path
):
    history = [Epoch(number, *row) for number, row in enumerate(rows, 1)]
    text = format_history(history)
    cut = text[: data.draw(st.integers(0, len(text)))]
    (tmp_path / "history.csv").write_text(cut)
    read, problem = read_whole_rows(tmp_path / "history.csv")
    assert read == history[: max(0, cut.count("\n") - 1)]
    assert (problem is None) == cut.endswith("\n")


# Arrays.


@QUICK
@given(data=st.data(), packed=st.booleans())
def test_archive_with_any_damage_is_read_or_refused(
    data: st.DataObject, packed: bool, tmp_path: Path
):
    path = tmp_path / "a.npz"
    save = np.savez_compressed if packed else np.savez
    save(path, a=np.arange(40, dtype=np.uint8).reshape(4, 10), b=np.arange(4))
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ArchiveFault):
        arrays = read_arrays(path, ("a", "b"), maximum_bytes=10**6)
        assert sum(array.nbytes for array in arrays.values()) <= 10**6


# `prepare`.

NAMES = st.one_of(
    st.sampled_from(
        ["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "DOG.01.JPG", "a.png", "b.PNG", "c.webp",
         "note.txt", ".hidden", "Thumbs.db", "-x.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "train"]
    ),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1,
            max_size=6).filter(lambda name: name not in (".", "..")),
)  # fmt: skip
KINDS = st.sampled_from(["file", "file", "file", "same", "empty", "folder", "link", "dead link"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def make_tree(root: Path, entries: dict[str, str]) -> None:
    """Makes each path as far as it can be: one may stand in another one's way."""
    root.mkdir()
    for place, kind in entries.items():
        path = root / place
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(root)
            elif kind == "dead link":
                path.symlink_to("nowhere")
            elif not os.path.lexists(path):
                content = {"empty": b"", "same": b"same"}.get(kind, place.encode())
                path.write_bytes(content)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@QUICK
@given(
    entries=st.dictionaries(PATHS, KINDS, max_size=12),
    layout=st.sampled_from(["cats-dogs", "folder"]),
    zipped=st.booleans(),
)
def test_prepare_of_any_tree_makes_a_whole_dataset_or_nothing(
    entries: dict[str, str], layout: Any, zipped: bool, tmp_path_factory: pytest.TempPathFactory
):
    work = tmp_path_factory.mktemp("tree")
    source, made = work / "source", work / "made"
    make_tree(source, entries)
    before = contents(source)
    if zipped:
        source = work / "source.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(source, "w") as archive:
            warnings.simplefilter("ignore", UserWarning)
            for name, content in before.items():
                archive.writestr(name, content)
    try:
        prepared = prepare(layout, source, made, split="0.5,0.25,0.25")
    except EpochlabError as error:
        assert str(error).strip()
        assert not made.exists()
        assert sorted(path.name for path in work.iterdir()) == sorted({"source", source.name})
        return
    finally:
        assert contents(work / "source") == before
    placed = {name: content for name, content in contents(made).items() if "/" in name}
    assert {name.split("/")[0] for name in placed} <= {"train", "validation", "test"}
    assert len(placed) == sum(sum(counts.values()) for counts in prepared.counts.values())
    originals = sorted(placed.values())
    remaining = sorted(before.values())
    for content in originals:  # each image once, none of them changed
        remaining.remove(content)
    assert prepare(layout, source, made, split="0.5,0.25,0.25").was_there
    assert {name: content for name, content in contents(made).items() if "/" in name} == placed
