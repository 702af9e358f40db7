"""What the documentation prints is what works."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_digits

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
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
