"""Experiments by name: the script, its config class, its config file."""

import difflib
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path

import epochlab
from epochlab.config import Section
from epochlab.errors import ConfigError, DataError
from epochlab.script_files import shipped_config


@dataclass(frozen=True)
class Experiment:
    """What has to be known of an experiment to run it.

    Attributes:
        name: Its name.
        script: Its script.
        schema: The class of its config.
    """

    name: str
    script: Path
    schema: type[Section]

    @property
    def config_path(self) -> Path:
        """The config that ships with the script."""
        return shipped_config(self.script)


def find_experiment(name: str) -> Experiment:
    """Finds an experiment in `scripts` here, or beside this installation's source.

    The script is loaded for the class of its config. That takes no TensorFlow.

    Raises:
        ConfigError: If there is no such script, or it has no config class of its own.
    """
    folders = [Path("scripts"), Path(epochlab.__file__).parents[2] / "scripts"]
    for folder in folders:
        script = folder / f"{name}.py"
        if script.is_file():
            return Experiment(name, script.absolute(), _load_schema(script))
    names = sorted({path.stem for folder in folders for path in folder.glob("*.py")})
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
    raise ConfigError(f"{name}: no such experiment, scripts/{name}.py is not there; {remedy}")


def fingerprint_data(config: Section) -> str:
    """Returns the SHA-256 of the data that a run of `config` would read, as `data.json` has it.

    Raises:
        DataError: If the data is missing or damaged, or of a kind that only the script can read.
    """
    from epochlab.data.directory import DirectoryConfig, load_directory
    from epochlab.data.mnist import MnistConfig, load_mnist

    match getattr(config, "data", None):
        case MnistConfig() as data:
            return load_mnist(data).fingerprint
        case DirectoryConfig() as data:
            return load_directory(data).fingerprint
    raise DataError("this experiment reads its data in a way of its own, so it has no fingerprint")


def _load_schema(script: Path) -> type[Section]:
    specification = importlib.util.spec_from_file_location(script.stem, script)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(
            f"{script}: cannot be loaded ({type(error).__name__}: {error}); mend the script, "
            "which has to load without training"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Section)
        and value.__module__ == script.stem
        and {"experiment", "seed", "training"} <= set(value.model_fields)
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{script}: has {len(found)} config classes with experiment, seed and training; "
            "expected one, as docs/adding-an-experiment.md shows"
        )
    return found[0]
