"""What `epochlab schema` says of the configs is what they are."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from epochlab.config import Section
from epochlab.config.reference import describe_keys, make_json_schema
from epochlab.config.schema import section_types
from epochlab.config.source import Source
from epochlab.fleet.experiments import find_experiment

CONFIGS = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "sweeps"
)


def list_sections(schema: type[Section]):
    yield schema
    for field in schema.model_fields.values():
        for inner in section_types(field.annotation):
            yield from list_sections(inner)


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "epochlab.cli", "schema", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_json_schema_takes_the_shipped_config_and_no_unknown_key(path):
    jsonschema = pytest.importorskip("jsonschema")
    values = json.loads(json.dumps(Source(path).values))
    schema = make_json_schema(find_experiment(values["experiment"]).schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(values))
    values["training"]["learing_rate"] = 1
    assert [error.validator for error in validator.iter_errors(values)] == ["additionalProperties"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_key_of_a_section_with_described_keys_is_described(path):
    schema = find_experiment(Source(path).values["experiment"]).schema
    for section in list_sections(schema):
        if "Attributes:" in (section.__doc__ or "") and section is not schema:
            assert set(describe_keys(section)) == set(section.model_fields), section.__name__


def test_the_page_on_all_keys_is_current():
    finished = ask("--markdown")
    assert finished.returncode == 0, finished.stderr
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert finished.stdout == page, "run epochlab schema --markdown > docs/configuration.md"


def test_a_schema_is_printed_with_the_meaning_of_keys():
    finished = ask("lenet_mnist")
    described = json.loads(finished.stdout)["$defs"]["LeNetConfig"]["properties"]
    assert described["dense_units"]["description"] == "Units of the hidden layer."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lenet_mist",), "lenet_mist: no such experiment"),
        ((), "give either the name of an experiment or --markdown"),
        (("lenet_mnist", "--markdown"), "give either the name of an experiment or --markdown"),
    ],
)
def test_a_wrong_call_is_answered(words, message):
    finished = ask(*words)
    assert finished.returncode == 2
    assert message in finished.stderr and "Traceback" not in finished.stderr
