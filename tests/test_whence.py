"""`epochlab whence`: the runs that a picture names are found wherever they lie in outputs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from conftest import record_run
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from epochlab.compare import compare_runs
from epochlab.comparison_files import write_comparison
from epochlab.provenance import RunFolders, describe_provenance
from epochlab.recorded_runs import read_run
from epochlab.runs import Run


def copy_picture(path: Path, fields: Mapping[str, str]) -> Path:
    """Writes a picture that lies beside no run, as a copy from a mail does."""
    info = PngInfo()
    for name, value in fields.items():
        info.add_text(name, value)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return path


def list_folders(picture: Path, outputs: Path) -> list[str]:
    """What is said of where each run is."""
    told = describe_provenance(picture, RunFolders(outputs)).splitlines()
    return [line.split(maxsplit=1)[1] for line in told if line.split()[0] == "folder"]


def record_trial(outputs: Path, number: int, *settings: str) -> Run:
    """Writes a run where a sweep has its trials; two of them may have the same name."""
    run = record_run(outputs / "sweeps" / "rates" / "trials" / f"{number:03}-89abcdef", *settings)
    return Run(run.path.rename(run.path.with_name("20260101T000000Z-seed1")))


def test_the_runs_of_a_sweep_and_of_repeats_are_found(tmp_path):
    outputs = tmp_path / "outputs"
    places = (
        "sweeps/rates/trials/001-01234567",
        "repeats/lenet_mnist-0123abcd/trials/002-89abcdef",
    )
    runs = [record_run(outputs / place, f"seed={seed}") for seed, place in enumerate(places, 1)]
    comparison = compare_runs([read_run(run.path) for run in runs])
    picture, *_ = write_comparison(tmp_path / "out", comparison, "test.accuracy")
    assert list_folders(picture, outputs) == [str(run.path) for run in runs]


def test_of_runs_with_one_name_the_one_with_the_config_of_the_picture_is_meant(tmp_path):
    trials = [
        record_trial(tmp_path, number, f"training.batch_size={32 * number}") for number in (1, 2, 3)
    ]
    picture = copy_picture(tmp_path / "copy.png", trials[1].provenance(2))
    assert list_folders(picture, tmp_path) == [str(trials[1].path)]
    # Nor does one where a script would have put it keep the right one from being found.
    shutil.copytree(trials[0].path, tmp_path / "lenet_mnist" / trials[0].path.name)
    assert list_folders(picture, tmp_path) == [str(trials[1].path)]


def test_a_run_below_that_has_changed_since_says_so(tmp_path):
    trial = record_trial(tmp_path, 1)
    picture = copy_picture(tmp_path / "copy.png", trial.provenance(2))
    trial.config_path.write_text("seed: 2\n")
    assert list_folders(picture, tmp_path) == [
        f"{trial.path} (its config is no longer that of the picture)"
    ]


def test_a_run_of_another_experiment_with_the_same_name_is_not_meant(tmp_path):
    trial = record_trial(tmp_path, 1)
    fields = trial.provenance(2) | {"experiment": "convnet_mnist", "config_sha256": "e" * 64}
    picture = copy_picture(tmp_path / "copy.png", fields)
    assert list_folders(picture, tmp_path) == [
        f"not found in {tmp_path}; --outputs DIR names another place"
    ]


def test_unfinished_runs_with_one_label_are_all_named(tmp_path):
    runs = [record_run(tmp_path / "outputs", test_accuracy=None) for _ in range(2)]
    comparison = compare_runs([read_run(run.path) for run in runs])
    assert len({group.label for group in comparison.groups}) == 1
    picture, *_ = write_comparison(tmp_path / "out", comparison, "test.accuracy")
    assert list_folders(picture, tmp_path / "outputs") == [str(run.path) for run in runs]
