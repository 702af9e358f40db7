"""Which script `resume` and `reproduce` start: never one that only the run folder vouches for."""

from pathlib import Path

import pytest
from conftest import SCRIPTS

from epochlab.errors import RunError
from epochlab.runs import Run
from epochlab.script_files import find_script


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "here").mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Run(tmp_path / "run")


def name_script(run: Run, script: object) -> None:
    run.write_json("environment.json", {"script": script})


def test_script_is_found_by_its_name_beside_the_installation(run: Run):
    name_script(run, "/nowhere/lenet_mnist.py")
    assert find_script(run, None) == SCRIPTS / "lenet_mnist.py"


def test_script_here_comes_first(run: Run):
    Path("scripts").mkdir()
    Path("scripts/lenet_mnist.py").touch()
    name_script(run, "scripts/lenet_mnist.py")
    assert find_script(run, None) == Path("scripts/lenet_mnist.py")


@pytest.mark.parametrize("place", ["run/other.py", "here/other.py", "run/scripts/other.py"])
def test_path_that_the_run_folder_names_is_not_run(place: str, run: Run, tmp_path: Path):
    script = tmp_path / place
    script.parent.mkdir(exist_ok=True)
    script.touch()
    name_script(run, str(script))
    with pytest.raises(RunError, match=r"no other\.py in scripts or .*--script FILE"):
        find_script(run, None)
    assert find_script(run, script) == script


def test_scripts_folder_of_the_run_itself_is_not_run(run: Run, monkeypatch: pytest.MonkeyPatch):
    (run.path / "scripts").mkdir()
    (run.path / "scripts" / "other.py").touch()
    name_script(run, "scripts/other.py")
    monkeypatch.chdir(run.path)
    with pytest.raises(RunError, match="is not run"):
        find_script(run, None)
    Path("../here/scripts").symlink_to(run.path / "scripts")
    monkeypatch.chdir("../here")
    with pytest.raises(RunError, match="is not run"):
        find_script(run, None)


@pytest.mark.parametrize("script", [None, 5, "", "..", "scripts/..", "a b.py", "-c", "x.py\n"])
def test_what_is_no_script_name_is_refused(script: object, run: Run):
    name_script(run, script)
    with pytest.raises(RunError, match="names no script"):
        find_script(run, None)


def test_given_script_must_exist(run: Run):
    with pytest.raises(RunError, match=r"--script gone\.py"):
        find_script(run, Path("gone.py"))
