"""What an article's own code gives on other weights than ImageNet's, for `docs/results.md`."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from article_data import article_options, measure_article
from result_entries import ROOT, Entry
from timing import describe_machine, load_experiment

from epochlab.errors import ConfigError
from epochlab.files import format_json, make_folder, write_text

# The articles' code runs VGG16 once over each photograph for these, in each epoch for the others.
EXTRACTED = ("cats_dogs_vgg16_features", "cats_dogs_bottleneck")
ON_DIGITS = "vgg16_mnist"
AS_ARTICLES = (ON_DIGITS, *EXTRACTED, "cats_dogs_vgg16_frozen", "cats_dogs_vgg16_finetune")


def record_article(
    entry: Entry,
    weights: Path,
    data: Path,
    folder: Path,
    *,
    epochs: Sequence[int] = (),
    precision: str = "float32",
) -> Path:
    """Runs the article's own code to its end and writes what came out.

    Args:
        entry: One on VGG16.
        weights: A weights file of VGG16 without its top.
        data: The prepared photographs.
        folder: `docs/results/`.
        epochs: Of each phase, if not the entry's.
        precision: Keras's dtype policy.

    Returns:
        The file that was written, `ENTRY/article.json`.

    Raises:
        ConfigError: If there is no such code for the entry.
    """
    if entry.name not in AS_ARTICLES:
        raise ConfigError(f"{entry.name}: expected one of {', '.join(AS_ARTICLES)}")
    settings = [f"model.weights={weights.absolute()}"]
    if entry.name != ON_DIGITS:
        settings.append(f"data.path={data.absolute()}")
    _, config = load_experiment(entry.script, settings, ROOT / entry.config)
    changed = ["--epochs", *map(str, epochs)] if epochs else []
    if precision != "float32":
        changed += ["--precision", precision]
    with tempfile.TemporaryDirectory() as part:
        # Of an option that is given twice, the last one counts.
        options = [*article_options(config, Path(part)), *changed]
        if entry.name in EXTRACTED:
            options.append("--extract")
        figures = measure_article(entry.name, options)
    command = ["python", "benchmarks/results.py", "article", entry.name, "--weights", weights.name]
    command += changed
    record = {"command": shlex.join(command)} | figures | {"machine": describe_machine()}
    make_folder(folder / entry.name)
    file = folder / entry.name / "article.json"
    write_text(file, format_json(record))
    return file
