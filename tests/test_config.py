"""Configs: what is accepted, which message answers each mistake, and where each value stands."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from epochlab.config import LoadedConfig, Section, describe_config, dump_config, load_config
from epochlab.errors import ConfigError

ROOT = Path(__file__).parent.parent


class Adam(Section):
    name: Literal["adam"]
    learning_rate: Annotated[float, Field(gt=0)]
    beta: Annotated[float, Field(ge=0, lt=1)]


class Sgd(Section):
    name: Literal["sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: float


class Stopping(Section):
    patience: PositiveInt
    min_delta: float


class Model(Section):
    filters: tuple[PositiveInt, PositiveInt]
    scaling: Literal["raw", "unit", "centred"]


class Training(Section):
    epochs: PositiveInt
    batch_size: PositiveInt
    deterministic: bool
    optimizer: Annotated[Adam | Sgd, Field(discriminator="name")]
    stopping: Stopping | None

    @model_validator(mode="after")
    def _check(self) -> "Training":
        if self.batch_size == 13:
            raise ValueError("13 is an unlucky batch size; take 12")
        return self


class Experiment(Section):
    experiment: str
    seed: NonNegativeInt
    path: Path | None
    model: Model
    training: Training


GOOD = """\
experiment: small
seed: 1
path: null
model:
  filters: [20, 50]
  scaling: unit
training:
  epochs: 20
  batch_size: 32
  deterministic: true
  optimizer:
    name: adam
    learning_rate: 1e-3
    beta: 0.9
  stopping: null
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()


def load(
    *overrides: str, change: tuple[str, str] = ("", ""), seed: int | None = None
) -> LoadedConfig[Experiment]:
    """Loads `GOOD`, with the first text of `change` replaced by the second."""
    path = Path("configs/a.yaml")
    assert change[0] in GOOD
    path.write_text(GOOD.replace(*change) if change[0] else GOOD)
    return load_config(Experiment, path, overrides, seed)


def refusal(
    *overrides: str, change: tuple[str, str] = ("", ""), seed: int | None = None
) -> list[str]:
    """Returns the lines of the message that refuses a config, without indentation."""
    with pytest.raises(ConfigError) as caught:
        load(*overrides, change=change, seed=seed)
    message = str(caught.value)
    assert "pydantic" not in message
    return [line.strip() for line in message.splitlines()]


def test_config_is_typed() -> None:
    config = load().config
    assert config.model.filters == (20, 50)
    assert config.training.optimizer == Adam(name="adam", learning_rate=0.001, beta=0.9)
    assert config.training.stopping is None
    assert config.path is None


def test_whole_number_is_taken_for_a_float() -> None:
    rate = load("training.optimizer.learning_rate=1").config.training.optimizer.learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_path_is_taken_from_text() -> None:
    assert load("path=data/mnist.npz").config.path == Path("data/mnist.npz")


def test_config_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().config.seed = 2


def test_misspelt_key_is_one_line_with_a_suggestion() -> None:
    (line,) = refusal(change=("    beta: 0.9", "    beta: 0.9\n    learing_rate: 1"))
    assert line.startswith("configs/a.yaml:15: training.optimizer.learing_rate: unknown key; did")
    assert "learning_rate?" in line


def test_misspelt_key_does_not_also_count_as_missing() -> None:
    lines = refusal(change=("epochs: 20", "epocs: 20"))
    assert len(lines) == 1
    assert "did you mean" in lines[0]


def test_misspelt_override_names_the_flag() -> None:
    (line,) = refusal("training.epocs=3")
    assert line == "--set training.epocs: unknown key; did you mean training.epochs?"


def test_key_of_another_section_is_sent_there() -> None:
    (line,) = refusal("model.epochs=3")
    assert "training" in line


def test_key_like_no_other_lists_the_valid_ones() -> None:
    (line,) = refusal("model.zzz=3")
    assert "filters, scaling" in line


def test_misspelt_section_of_an_override_is_reported() -> None:
    (line,) = refusal("trainin.epochs=3")
    assert line.startswith("--set trainin: unknown key; did you mean training?")


def test_missing_key_says_what_is_expected() -> None:
    (line,) = refusal(change=("  epochs: 20\n", ""))
    assert "training.epochs: missing" in line
    assert "number" in line or "integer" in line


def test_missing_section_is_reported() -> None:
    (line,) = refusal(change=("model:\n  filters: [20, 50]\n  scaling: unit\n", ""))
    assert line.startswith("configs/a.yaml: model: missing")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ('"32"', 'got "32" (text); remove the quotes'),
        ("0", "got 0"),
        ("-1", "got -1"),
        ("1.5", "got 1.5"),
        ("32.0", "got 32.0"),
        ("true", "got true"),
        (".nan", "got .nan"),
        ("1_000", "1_000"),
        ("null", "got null"),
        ("[1]", "got [1]"),
        ("{a: 1}", "{a: 1}"),
    ],
)
def test_wrong_whole_number_is_shown_with_the_bound(given: str, shown: str) -> None:
    (line,) = refusal(change=("batch_size: 32", f"batch_size: {given}"))
    assert line.startswith("configs/a.yaml:9: training.batch_size: expected ")
    assert shown in line
    assert "at least 1" in line


@pytest.mark.parametrize("given", ["1", "yes", '"true"', "null"])
def test_wrong_boolean(given: str) -> None:
    (line,) = refusal(change=("deterministic: true", f"deterministic: {given}"))
    assert "training.deterministic: expected true or false, got " in line


@pytest.mark.parametrize("given", [".inf", ".nan", "1e999", "1" + "0" * 310])
def test_number_that_is_not_finite_is_refused(given: str) -> None:
    (line,) = refusal(change=("1e-3", given))
    assert line.startswith("configs/a.yaml:13: training.optimizer.learning_rate: expected ")
    assert len(line) < 200


def test_misspelt_choice_is_suggested() -> None:
    (line,) = refusal(change=("scaling: unit", "scaling: centered"))
    assert line.startswith("configs/a.yaml:6: model.scaling: expected ")
    for word in ("raw", "unit", "did you mean centred?"):
        assert word in line


def test_misspelt_variant_is_suggested() -> None:
    (line,) = refusal(change=("name: adam", "name: adm"))
    assert line.startswith("configs/a.yaml:12: training.optimizer.name: expected ")
    assert "sgd" in line
    assert "did you mean adam?" in line


def test_variant_that_is_no_text_is_refused() -> None:
    (line,) = refusal(change=("name: adam", "name: 5"))
    assert line.startswith("configs/a.yaml:12: training.optimizer.name: expected ")
    assert "got 5" in line


def test_missing_variant_name_is_reported() -> None:
    lines = refusal(change=("    name: adam\n", ""))
    assert "training.optimizer" in lines[0]
    assert "name" in lines[0]
    assert "missing" in lines[0]


@pytest.mark.parametrize("given", ["adam", "[adam]", "5"])
def test_section_with_variants_must_be_a_mapping(given: str) -> None:
    (line,) = refusal(f"training.optimizer={given}")
    assert line.startswith("--set training.optimizer: expected a ")
    assert given in line


def test_tuple_of_wrong_length_names_the_list() -> None:
    (longer,) = refusal("model.filters=[1, 2, 3]")
    (shorter,) = refusal("model.filters=[1]")
    assert longer.startswith("--set model.filters: expected ")
    assert shorter.startswith("--set model.filters")


def test_wrong_item_of_a_list_has_its_own_line_number() -> None:
    (line,) = refusal(change=("[20, 50]", "\n  - 20\n  - x"))
    assert line.startswith("configs/a.yaml:7: model.filters.1: expected ")


def test_variant_changed_by_an_override_says_how_to_give_all_of_it() -> None:
    lines = refusal("training.optimizer.name=sgd")
    assert any("training.optimizer.momentum: missing" in line for line in lines)
    assert any("training.optimizer.beta: unknown key" in line for line in lines)
    remedy = "--set 'training.optimizer={name: sgd, learning_rate: ..., momentum: ...}'"
    assert sum(remedy in line for line in lines) == 1


def test_whole_section_can_be_given_by_an_override() -> None:
    override = "training.optimizer={name: sgd, learning_rate: 0.1, momentum: 0.9}"
    optimizer = load(override).config.training.optimizer
    assert optimizer == Sgd(name="sgd", learning_rate=0.1, momentum=0.9)


def test_override_below_null_makes_the_section() -> None:
    overrides = ("training.stopping.patience=3", "training.stopping.min_delta=0")
    loaded = load(*overrides)
    assert loaded.config.training.stopping == Stopping(patience=3, min_delta=0)
    assert loaded.origins["training.stopping.patience"] == "--set"


def test_override_below_null_with_a_key_left_out_names_the_flag() -> None:
    lines = refusal("training.stopping.patience=3")
    assert any(line.startswith("--set training.stopping.min_delta: missing") for line in lines)


def test_later_override_wins() -> None:
    assert load("seed=3", "seed=4").config.seed == 4


def test_override_of_a_section_that_is_then_refined() -> None:
    overrides = ("training.stopping={patience: 3, min_delta: 0}", "training.stopping.patience=5")
    assert load(*overrides).config.training.stopping == Stopping(patience=5, min_delta=0)


@pytest.mark.parametrize(
    "override", ["seed", "=3", "a..b=1", ".seed=1", "seed.=1", "", "seed.deeper=1", "seed=[1"]
)
def test_override_without_sense_is_refused(override: str) -> None:
    (line,) = refusal(override)
    assert line.startswith(f"--set {override.partition('=')[0]}")


def test_override_through_a_list_is_refused() -> None:
    (line,) = refusal("model.filters.0.x=1")
    assert "model.filters" in line


def test_override_of_five_thousand_levels_is_refused() -> None:
    (line,) = refusal(".".join(["a"] * 5000) + "=1")
    assert line.startswith("--set a")


def test_all_wrong_overrides_are_reported_with_the_wrong_keys() -> None:
    lines = refusal("seed", "seed.x=1", "model.zzz=1", change=("epochs: 20", "epochs: 0"))
    assert lines[0] == "4 problems in configs/a.yaml"
    assert len(lines) == 5


def test_seed_replaces_the_file_and_the_override() -> None:
    loaded = load("seed=3", seed=7)
    assert loaded.config.seed == 7
    assert loaded.origins["seed"] == "--seed"


def test_wrong_seed_names_its_flag() -> None:
    (line,) = refusal(seed=-1)
    assert line.startswith("--seed")
    assert "got -1" in line


def test_message_of_a_section_check_stands_at_its_line() -> None:
    (line,) = refusal(change=("batch_size: 32", "batch_size: 13"))
    assert line == "configs/a.yaml:7: training: 13 is an unlucky batch size; take 12"


def test_five_typos_are_reported_at_once_in_file_order() -> None:
    text = GOOD
    typos = [
        ("seed: 1", "sed: 1"),
        ("scaling: unit", "scalling: unit"),
        ("epochs: 20", "epoch: 20"),
        ("deterministic", "determinstic"),
        ("learning_rate", "learing_rate"),
    ]
    for right, wrong in typos:
        text = text.replace(right, wrong)
    Path("configs/a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Experiment, Path("configs/a.yaml"))
    heading, *lines = str(caught.value).splitlines()
    assert heading == "5 problems in configs/a.yaml"
    assert [int(line.split(":")[1]) for line in lines] == [2, 6, 8, 10, 13]


def test_origins_name_every_value() -> None:
    loaded = load("training.epochs=3", "model.filters=[1, 2]")
    assert loaded.origins == {
        "experiment": "configs/a.yaml:1",
        "seed": "configs/a.yaml:2",
        "path": "configs/a.yaml:3",
        "model.filters": "--set",
        "model.scaling": "configs/a.yaml:6",
        "training.epochs": "--set",
        "training.batch_size": "configs/a.yaml:9",
        "training.deterministic": "configs/a.yaml:10",
        "training.optimizer.name": "configs/a.yaml:12",
        "training.optimizer.learning_rate": "configs/a.yaml:13",
        "training.optimizer.beta": "configs/a.yaml:14",
        "training.stopping": "configs/a.yaml:15",
    }


def test_description_is_aligned_and_fits_80_columns() -> None:
    loaded = load("training.epochs=3")
    lines = describe_config(loaded).splitlines()
    assert [line.split()[0] for line in lines] == list(loaded.origins)
    assert "training.epochs                   3         --set" in lines
    assert max(map(len, lines)) <= 80


def test_dump_is_read_back_by_eye() -> None:
    loaded = load("path=no", "training.optimizer.learning_rate=1e-6")
    expected = GOOD.replace("path: null", 'path: "no"').replace("1e-3", "1.0e-06")
    assert dump_config(loaded.config) == expected


class Item(Section):
    text: str
    number: float


class Anything(Section):
    text: str
    whole: int
    number: float
    path: Path | None
    texts: tuple[str, ...]
    pairs: tuple[tuple[int, float], ...]
    items: tuple[Item, ...]
    y: bool


TEXT = st.one_of(
    st.text(),
    st.sampled_from(["no", "1e-3", "017", "~", "null", "", ".5", "1_0", "- a", "a: b", "#", "---"]),
)
FLOATS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(1e-06))
ANYTHING = st.builds(
    Anything,
    text=TEXT,
    whole=st.integers(min_value=-(10**200), max_value=10**200),
    number=FLOATS,
    path=st.one_of(st.none(), TEXT.filter(lambda text: "\0" not in text).map(Path)),
    texts=st.lists(TEXT).map(tuple),
    pairs=st.lists(st.tuples(st.integers(), FLOATS)).map(tuple),
    items=st.lists(st.builds(Item, text=TEXT, number=FLOATS), max_size=3).map(tuple),
    y=st.booleans(),
)


@settings(deadline=None, max_examples=100)
@given(config=ANYTHING)
def test_dump_reads_back_equal(config: Anything, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_bytes(dump_config(config).encode())
    assert load_config(Anything, path).config == config


@pytest.mark.parametrize("overrides", [(), ("experiment=x",)])
def test_list_of_sections_is_checked_item_by_item(overrides: tuple[str, ...]) -> None:
    class Listed(Section):
        experiment: str
        items: tuple[Item, ...]

    path = Path("configs/b.yaml")
    path.write_text("experiment: a\nitems:\n- text: a\n  number: 1\n- text: b\n  numbr: 2\n")
    with pytest.raises(ConfigError) as caught:
        load_config(Listed, path, overrides)
    assert "configs/b.yaml:6: items.1.numbr: unknown key; did you mean" in str(caught.value)


def test_override_reaches_into_a_list_of_sections() -> None:
    class Listed(Section):
        items: tuple[Item, ...]

    path = Path("configs/b.yaml")
    path.write_text("items: [{text: a, number: 1}, {text: b, number: 2}]\n")
    loaded: Any = load_config(Listed, path, ["items.1.number=5"])
    assert loaded.config.items[1].number == 5


def test_configs_load_without_heavy_packages() -> None:
    heavy = ("keras", "tensorflow", "numpy", "matplotlib")
    program = f"import sys, epochlab.config; print([n for n in {heavy} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


@pytest.mark.parametrize("key", ["\x1b[2J", "training.\n", "training.epochs.\x07"])
def test_control_characters_of_a_key_are_escaped(key: str) -> None:
    assert all(line.isprintable() for line in refusal(f"{key}=1"))
    assert all(line.isprintable() for line in refusal(key))


def test_control_characters_of_a_key_in_the_file_are_escaped() -> None:
    assert refusal(change=("  epochs: 20", '  epochs: 20\n  "\\e[2J": 1')) == [
        "configs/a.yaml:9: training.\\x1b[2J: unknown key; the keys here are epochs, batch_size, "
        "deterministic, optimizer, stopping"
    ]
