"""Which runs a person means who types folders, globs and names of experiments."""

import contextlib
import difflib
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from epochlab.errors import ConfigError, RunError
from epochlab.recorded_runs import RecordedRun, read_run
from epochlab.runs import Run


def find_runs(given: Sequence[str], outputs: Path) -> list[RecordedRun]:
    """Returns the runs that a person means, each once, in the order given.

    Args:
        given: Each a run folder, a folder that has runs somewhere below it, a glob of those, or the
            name of an experiment, which means its newest finished run in `outputs`.
        outputs: Folder of all experiments' runs.

    Raises:
        RunError: If one of `given` means no run, or a run's config cannot be read.
    """
    found: dict[Path, RecordedRun] = {}
    for text in given:
        for path in _paths(text, outputs):
            found.setdefault(path.resolve(), read_run(path))
    return list(found.values())


def list_passed_over(given: Sequence[str], outputs: Path) -> dict[str, int]:
    """Returns how many finished runs each experiment of `given` has, where that is not only one.

    Args:
        given: What a person typed, as for `find_runs`.
        outputs: Folder of all experiments' runs.
    """
    counts = {
        text: len(_list_finished(outputs / text)) for text in given if _is_experiment(text, outputs)
    }
    return {text: count for text, count in counts.items() if count > 1}


def check_no_run(out: Path) -> None:
    """Refuses a folder for pictures and tables that is a run's or lies in one.

    Raises:
        ConfigError: If it is, since a run's own pictures have the same names.
    """
    for folder in (out.resolve(), *out.resolve().parents):
        if (folder / "config.yaml").is_file() and (folder / "environment.json").is_file():
            raise ConfigError(
                f"--out {out}: {folder} is a run's folder, whose own pictures have the same names; "
                "give another folder"
            )


def list_run_folders(folder: Path) -> list[Path]:
    """Returns the run folders at or below `folder`, in the order of their paths."""
    if (folder / "config.yaml").is_file():
        return [folder]
    return list(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return
    for child in children:
        # A hidden folder is a run that is just being made.
        if child.name.startswith(".") or child.is_symlink():
            continue
        if (child / "config.yaml").is_file():
            yield child
        else:
            yield from _walk(child)


def _paths(text: str, outputs: Path) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        folders = list_run_folders(path)
        if not folders:
            raise RunError(
                f"{text}: neither a run folder nor a folder with runs in it: there is no "
                "config.yaml; give what a script printed after 'run:'"
            )
        return folders
    if glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text)) if Path(match).is_dir()]
        folders = [folder for match in matches for folder in list_run_folders(match)]
        if not folders:
            raise RunError(f"{text}: matches no run folder; quote it, or look with ls")
        return folders
    if _is_experiment(text, outputs):
        finished = _list_finished(outputs / text)
        if not finished:
            raise RunError(
                f"{text}: no run in {outputs / text} is finished; go on with one: epochlab resume "
                "RUN"
            )
        return [max(finished, key=lambda folder: folder.name)]
    raise RunError(
        f"{text}: no such folder, and no experiment in {outputs}{_suggest(text, outputs)}"
    )


def _is_experiment(text: str, outputs: Path) -> bool:
    path = Path(text)
    return path.name == text and not path.is_dir() and (outputs / text).is_dir()


def _list_finished(experiment: Path) -> list[Path]:
    return [folder for folder in list_run_folders(experiment) if Run(folder).is_finished]


def _suggest(text: str, outputs: Path) -> str:
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(child.name for child in outputs.iterdir() if child.is_dir())
    close = difflib.get_close_matches(text, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; it has {', '.join(names)}" if names else "; give a folder, or train one first"
