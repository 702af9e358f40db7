"""Where the script of a run is, for commands that start it in a process of its own."""

from pathlib import Path

import epochlab
from epochlab.errors import RunError
from epochlab.runs import Run


def find_script(run: Run, given: Path | None) -> Path:
    """Returns the script that trained `run`.

    It is looked for where it was when the run started, seen from this folder; in `scripts` here;
    and in `scripts` beside this installation's source.

    Args:
        run: The run.
        given: The script, if the user says where it is.

    Raises:
        RunError: If it is at none of these places.
    """
    if given is not None:
        places = [given]
    else:
        recorded = Path(str(run.environment.get("script", "")))
        source = Path(epochlab.__file__).parents[2]
        places = [recorded, *(folder / "scripts" / recorded.name for folder in (Path(), source))]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places))
    raise RunError(f"{run.path}: its script is not at {looked}; give its place with --script FILE")
