"""Where scripts and their configs are, for commands that start them in processes of their own."""

from pathlib import Path, PurePath

import epochlab
from epochlab.data.sources import shown
from epochlab.errors import RunError
from epochlab.runs import Run


def shipped_config(script: Path) -> Path:
    """Returns the config that ships with `script`.

    That is `configs/NAME.yaml` or, for what no article has, `configs/recipes/NAME.yaml`; the first
    of them if there is neither, which is then missed by that name.
    """
    folder = script.parent.parent / "configs"
    recipe = folder / "recipes" / f"{script.stem}.yaml"
    return recipe if recipe.is_file() else folder / f"{script.stem}.yaml"


def find_script(run: Run, given: Path | None) -> Path:
    """Returns the script that trained `run`.

    Of what the run folder says only the script's name is used: the folder may be somebody else's,
    and a path in it could name any program on this machine, or one in the folder itself. The script
    is looked for by that name in `scripts` here and in `scripts` beside this installation's source.

    Args:
        run: The run.
        given: The script, if the user says where it is.

    Raises:
        RunError: If it is at none of these places.
    """
    if given is not None:
        if given.is_file():
            return given
        raise RunError(f"--script {given}: there is no such file; give the script of {run.path}")
    recorded = run.environment.get("script")
    name = PurePath(recorded).name if isinstance(recorded, str) else ""
    if not (name.endswith(".py") and name.removesuffix(".py").isidentifier()):
        raise RunError(
            f"{run.path}: environment.json names no script ({shown(str(recorded)[:80])}); give its "
            "place with --script FILE"
        )
    folders = [Path("scripts"), Path(epochlab.__file__).parents[2] / "scripts"]
    for folder in folders:
        place = folder / name
        if place.is_file() and not place.resolve().is_relative_to(run.path.resolve()):
            return place
    looked = " or ".join(str(folder) for folder in folders)
    raise RunError(
        f"{run.path}: there is no {name} in {looked}. It was started as {shown(str(recorded))}, "
        "but a path that stands in a run folder is not run; give the script with --script FILE, "
        "if you know it"
    )
