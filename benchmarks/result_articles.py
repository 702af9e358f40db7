"""What an article's own code gives on other weights than ImageNet's, for `docs/results.md`."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from article_data import article_options, list_epochs, measure_article
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
        epochs: Of each phase, if fewer than the entry's.
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
    whole = list_epochs(config)
    if epochs and len(epochs) != len(whole):
        raise ConfigError(
            f"--epochs: expected one number for each phase, as in {shlex.join(map(str, whole))}, "
            f"got {len(epochs)}"
        )
    changed = ["--precision", precision] if precision != "float32" else []
    with tempfile.TemporaryDirectory() as part:
        options = [*article_options(config, Path(part), epochs), *changed]
        if entry.name in EXTRACTED:
            options.append("--extract")
        figures = measure_article(entry.name, options)
    command = ["python", "benchmarks/results.py", "article", entry.name, "--weights", weights.name]
    if epochs:
        command += ["--epochs", *map(str, epochs)]
    record = {
        "command": shlex.join([*command, *changed]),
        "epochs": list(epochs or whole),
        "epochs_of_article": whole,
        **figures,
        "machine": describe_machine(),
    }
    make_folder(folder / entry.name)
    file = folder / entry.name / "article.json"
    write_text(file, format_json(record))
    return file
