"""What the documentation prints is what works."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import CONFIGS, ROOT, load_experiment, make_digits

from epochlab.models.families import find_family

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

FILES = {
    "src/epochlab/models/wide_lenet.py": 0,
    "configs/wide_lenet_mnist.yaml": 1,
    "scripts/wide_lenet_mnist.py": 2,
}


@pytest.mark.slow
def test_the_three_steps_of_adding_an_experiment_give_one(tmp_path: Path):
    page = (ROOT / "docs" / "adding-an-experiment.md").read_text()
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", page, re.DOTALL)
    for folder in ("src", "configs", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name, position in FILES.items():
        assert name in page
        (tmp_path / name).write_text(blocks[position])
    digits = make_digits(tmp_path / "digits.npz")
    finished = subprocess.run(
        [
            sys.executable,
            "scripts/wide_lenet_mnist.py",
            "--set",
            f"data.path={digits}",
            "--set",
            "training.epochs=2",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert list(tmp_path.glob("outputs/wide_lenet_mnist/*/metrics.json"))


def test_the_readme_lists_every_experiment():
    readme = (ROOT / "README.md").read_text()
    for script in (ROOT / "scripts").glob("*.py"):
        assert f"`{script.stem}`" in readme


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def script_calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the script and the arguments of each call of one in the page's code blocks."""
    for block in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("python scripts/"):
                _, script, *arguments = shlex.split(line, comments=True)
                yield Path(script).stem, arguments


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_calls_of_scripts_in_pages_set_what_there_is(page: Path):
    for name, arguments in script_calls(page):
        if name == "wide_lenet_mnist":  # what a page makes
            continue
        pairs = list(pairwise(arguments))
        configs = [ROOT / value for flag, value in pairs if flag == "--config"] or [None]
        overrides = [value for flag, value in pairs if flag == "--set"]
        load_experiment(name, *overrides, config=configs[-1])


def table_rows(page: Path, heading: str) -> list[tuple[str, str, str]]:
    """Returns layer, output and parameters of each row of the first table after `heading`."""
    text = page.read_text().partition(heading)[2]
    table = text[text.index("| layer |") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    return [(layer.strip("`"), output, count) for layer, _, output, count in cells]


@pytest.mark.parametrize(
    ("page", "heading", "experiment", "shape", "classes"),
    [
        ("mlp", "## `mlp_mnist_tanh`", "mlp_mnist_tanh", (28, 28, 1), 10),
        ("mlp", "## `mlp_mnist_relu`", "mlp_mnist_relu", (28, 28, 1), 10),
        ("lenet", "# LeNet", "lenet_mnist", (28, 28, 1), 10),
        ("convnet", "## `convnet_mnist`", "convnet_mnist", (28, 28, 1), 10),
        ("convnet", "## `convnet_deep_head_mnist`", "convnet_deep_head_mnist", (28, 28, 1), 10),
        ("custom-dense", "# A layer", "custom_dense_mnist", (28, 28, 1), 10),
        ("cats-dogs", "# Cats", "cats_dogs_baseline", (150, 150, 3), 2),
        ("transfer", "## `vgg16_mnist`", "vgg16_mnist", (28, 28, 1), 10),
        (
            "transfer",
            "## `cats_dogs_vgg16_features`",
            "cats_dogs_vgg16_features",
            (150, 150, 3),
            2,
        ),
    ],
)
def test_tables_of_layers_are_those_of_the_networks(
    page: str, heading: str, experiment: str, shape: tuple[int, int, int], classes: int
):
    config = load_experiment(experiment)
    found = find_family(dict(config)["model"].model_dump(mode="json"))
    assert found is not None
    family, section = found
    model = family.build(section, shape, classes, config.seed)
    assert table_rows(ROOT / "docs" / "experiments" / f"{page}.md", heading) == [
        (
            layer.name,
            f"({', '.join(map(str, layer.output.shape[1:]))})",
            f"{layer.count_params():,}",
        )
        for layer in model.layers[1:]  # after the pixels
    ]


def test_every_config_has_its_family_page():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "experiments").glob("*.md"))
    for config in (*CONFIGS.glob("*.yaml"), *CONFIGS.glob("recipes/*.yaml")):
        assert f"`{config.stem}`" in pages
