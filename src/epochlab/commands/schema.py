"""`epochlab schema`: what a config may hold, for editors and for people."""

import json
from pathlib import Path
from typing import Annotated

import typer

from epochlab.errors import ConfigError

HEAD = """\
# Configuration

Every key that a YAML file may hold, made from the classes that check it by
`epochlab schema --markdown`. No key has a default: the shipped files in `configs/` show all of them
with values. At the top stand `experiment`, the name of the script, and `seed`, a whole number from
0 to 2147483647.

Editors that speak YAML complete and check a file with
`epochlab schema lenet_mnist > lenet_mnist.schema.json` and this as its first line:

```yaml
# yaml-language-server: $schema=lenet_mnist.schema.json
```

"""


def schema(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="name of a script", show_default=False),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="a page on the keys of all experiments")
    ] = False,
) -> None:
    """Print the JSON Schema of an experiment's config, for editors, or a page on all keys."""
    from epochlab.config.reference import format_reference, make_json_schema
    from epochlab.fleet.experiments import find_experiment

    if markdown == (experiment is not None):
        raise ConfigError("give either the name of an experiment or --markdown")
    if experiment is not None:
        found = find_experiment(experiment)
        print(json.dumps(make_json_schema(found.schema), indent=2, ensure_ascii=False))
        return
    names = sorted(path.stem for path in Path("scripts").glob("*.py"))
    if not names:
        raise ConfigError("scripts: there is no such folder with scripts here; go to the one above")
    print(HEAD + format_reference({name: find_experiment(name).schema for name in names}), end="")
