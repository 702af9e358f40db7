"""Imports go one way, and nothing loads TensorFlow before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src" / "epochlab"

# What each part may import of ours, itself aside. Parts that are not named may import any.
ALLOWED = {
    "errors": set(),
    "lazy_import": set(),
    "array_archive": set(),
    "quiet": {"errors"},
    "csv_text": set(),
    "config": {"errors"},
    "files": {"errors"},
    "figures": {"files"},
    "contact_sheets": {"figures"},
    "confusion": {"figures"},
    "galleries": {"figures"},
    "plots": {"confusion", "figures", "galleries"},
    "model_picture": {"errors", "files", "runs"},
    "models": {"config", "errors", "hashing"},
    "data": {"array_archive", "config", "errors", "quiet"},
    "history": {"errors"},
    "hashing": set(),
    "losses": set(),
    "optimizers": {"config"},
    "training_config": {"config", "optimizers"},
    "runs": {"config", "errors", "files", "history"},
    "devices": {"quiet"},
    "trackers": {"config", "errors", "files", "history", "quiet", "runs", "training_config"},
    "run_lock": {"errors"},
    "script_files": {"data", "errors", "runs"},
    "rebuilt_model": {"config", "data", "errors", "input_format", "models", "runs"},
    "session_records": {"config", "errors", "history", "runs"},
    "reproduction": {"history", "runs", "session_records"},
    "recorded_runs": {"config", "errors", "history", "run_lock", "runs", "session_records"},
    "significance": set(),
    "labels": {"config"},
    "run_search": {"errors", "recorded_runs", "runs"},
    "comparison_notes": {"errors", "labels", "recorded_runs", "session_records"},
    "compare": {
        "comparison_notes",
        "config",
        "errors",
        "labels",
        "recorded_runs",
        "session_records",
    },
    "comparison_text": {"compare", "significance"},
    "comparison_files": {
        "compare",
        "csv_text",
        "errors",
        "files",
        "overlay",
        "recorded_runs",
        "significance",
    },
    "overlay": {"figures"},
    "report": {
        "compare",
        "config",
        "csv_text",
        "data",
        "errors",
        "files",
        "history",
        "labels",
        "recorded_runs",
        "run_search",
    },
    "fleet": {
        "compare",
        "comparison_notes",
        "comparison_files",
        "comparison_text",
        "config",
        "csv_text",
        "data",
        "environment",
        "errors",
        "exits",
        "files",
        "history",
        "labels",
        "recorded_runs",
        "run_lock",
        "run_search",
        "runs",
        "script_files",
        "session_records",
    },
    "explain": {
        "compare",
        "config",
        "contact_sheets",
        "csv_text",
        "data",
        "errors",
        "figures",
        "files",
        "input_format",
        "prediction",
        "recorded_runs",
        "runs",
        "trained_model",
    },
    "provenance": {"errors", "run_search"},
    "precision": {"config", "environment", "process"},
    "training_state": {"errors"},
    "checkpoint_file": {"array_archive", "errors", "files", "hashing", "history"},
    "checkpoint": {"checkpoint_file", "errors", "files", "training_state"},
}
FRAME = {"experiment", "session", "resuming", "cli", "commands"}

# These two are loaded by others only once training starts.
LOAD_KERAS = {"epochlab.callbacks", "epochlab.models.dense_layer"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """The top-level parts of epochlab that the module at `path` imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "epochlab":
                names = [f"epochlab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("epochlab.")}
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_part_imports_only_what_lies_below_it(part: str):
    modules = [path for path in PACKAGE.rglob("*.py") if part_of(path) == part]
    assert modules
    for path in modules:
        assert imported_parts(path) - {part, "lazy_import"} <= ALLOWED[part], path.name


def test_the_library_does_not_import_the_frame_around_the_scripts():
    for path in PACKAGE.rglob("*.py"):
        if part_of(path) not in FRAME:
            assert not imported_parts(path) & FRAME, path.name


def test_every_module_loads_without_tensorflow():
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(set(names) - LOAD_KERAS)}:\n"
        "    importlib.import_module(name)\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'numpy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["tensorflow", "keras"])
def test_tensorflow_and_keras_load_in_any_order_after_epochlab(first: str):
    program = (
        "import epochlab.models.lenet, epochlab.training, epochlab.data.batches\n"
        f"import {first}\n"
        "import tensorflow, keras\n"
        "print(keras.Model.__name__, tensorflow.constant(1).numpy())\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stdout.split() == ["Model", "1"], finished.stderr
