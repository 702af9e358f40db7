"""`docs/results.md` and the tables of `README.md` as Markdown, from what `docs/results/` holds."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from result_checks import describe_check
from result_columns import (
    PAGE_COLUMNS,
    README_COLUMNS,
    README_RECIPE_COLUMNS,
    RUN_COLUMNS,
    describe_accuracy,
    draw_table,
    name_base,
    train_minutes,
)
from result_entries import Entry, Results, list_accuracies, read_record

from epochlab.compare import read_figures
from epochlab.errors import ConfigError
from epochlab.recorded_runs import RecordedRun

BEGIN, END = "<!-- made by make results -->", "<!-- end of make results -->"
# Of longer runs one is enough, of shorter ones there are to be so many.
LONG_MINUTES, ENOUGH_RUNS = 30, 3

INTRODUCTION = """\
# Results

Made by `make results` from the runs in [results/](results) and from what
[results/experiments.yaml](results/experiments.yaml) says of the articles; do not edit it by hand.
Each run's folder there has its `metrics.json`, `history.csv`, `config.yaml` and `environment.json`,
without machine paths. Speed is in [performance.md](performance.md).

Test accuracy is that of the test images, scored once at the end of a run; ± is the standard
deviation over n seeds. Validation accuracy is that of the epoch whose weights were kept. Minutes
are those of the epochs, validation and checkpoints included (`train_seconds`); *whole* adds
start, feature pass, scoring and pictures, from the script's start to its last file, where that is
known. GB is the peak memory of the whole process, TensorFlow included, in runs that recorded it.
Threads are those within an operation, one per core unless a run was given fewer: on another
number of them the last digits may differ.
"""


def render_page(results: Results) -> str:
    """Returns the whole of `docs/results.md`."""
    parts = [INTRODUCTION]
    for title, entries in _sections(results):
        parts.append(f"## {title}\n\n{_draw_entries(PAGE_COLUMNS, entries, results)}")
    for entry in results.entries:
        parts.append(_describe_entry(entry, results))
    return "\n".join(parts)


def render_readme(text: str, results: Results) -> str:
    """Returns the README with its tables made anew.

    Raises:
        ConfigError: If it lacks the two comments that the tables stand between.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            f"README.md: expected its tables between the lines {BEGIN} and {END}; put them back"
        )
    (_, experiments), (recipe_title, recipes) = _sections(results)
    tables = (
        f"{_draw_entries(README_COLUMNS, experiments, results)}\n### {recipe_title}\n\n"
        f"{_draw_entries(README_RECIPE_COLUMNS, recipes, results)}"
    )
    return f"{before}{begin}\n{tables}{end}{after}"


def _sections(results: Results) -> list[tuple[str, list[Entry]]]:
    return [
        ("The articles' experiments", [row for row in results.entries if not row.is_recipe]),
        ("Recipes that go further", [row for row in results.entries if row.is_recipe]),
    ]


def _draw_entries(
    columns: Mapping[str, Callable[..., str]], entries: Sequence[Entry], results: Results
) -> str:
    return draw_table(columns, [(entry, results.runs[entry.name]) for entry in entries])


def _describe_entry(entry: Entry, results: Results) -> str:
    """Returns the section of one entry: command, seed by seed, what was to be seen, curves."""
    runs = results.runs[entry.name]
    lines = [f"## {entry.name}", "", f"{_sentence(entry, runs)}", ""]
    lines += ["```", f"{entry.command} --seed 1", "```", ""]
    lines += _notes(entry, results)
    if runs:
        lines += [draw_table(RUN_COLUMNS, [(run,) for run in runs])]
    if entry.look_for:
        lines += [f"To look for: {entry.look_for}", ""]
    lines += [f"- {describe_check(check, entry.name, results)}" for check in entry.checks]
    lines += [""] if entry.checks else []
    for run in runs:
        if (run.run.path / "accuracy.png").is_file():
            place = f"results/{entry.name}/{run.run.path.name}"
            for picture in ("accuracy", "loss"):
                alternative = f"{picture.capitalize()} of {entry.name}, seed {run.seed}"
                lines += [f"![{alternative}]({place}/{picture}.png)", ""]
            break
    return "\n".join(lines)


def _sentence(entry: Entry, runs: Sequence[RecordedRun]) -> str:
    first = f"{entry.network[0].upper()}{entry.network[1:]}."
    published = f" Published: {entry.published}." if entry.published else ""
    return f"{first}{published} Ours: {describe_accuracy(runs)}."


def _notes(entry: Entry, results: Results) -> list[str]:
    """Returns what a reader must know beside the figures, each a paragraph and an empty line."""
    runs = results.runs[entry.name]
    notes = [*_note_of_difference(entry, runs), *_note_of_count(runs)]
    if base := name_base(entry, runs):
        digests = {
            str(read_record(run.run.path / "backbone.json").get("sha256"))[:12] for run in runs
        }
        digest = f" (SHA-256 {', '.join(sorted(digests))}...)" if digests else ""
        notes.append(
            f"**Not ImageNet's weights**: ours began with `{base}`{digest}, so the published "
            f"number is not to be expected. {_article_flow(entry, results)}"
        )
    return [line for note in notes for line in (note, "")]


def _note_of_difference(entry: Entry, runs: Sequence[RecordedRun]) -> list[str]:
    if entry.published_accuracy is None or not runs:
        return []
    if entry.published_on == "test":
        ours = list_accuracies(runs)
    else:
        ours = [read_figures(run)["val_accuracy"] or 0.0 for run in runs]
    difference = 100 * (statistics.fmean(ours) - entry.published_accuracy)
    return [
        f"In the mean {difference:+.2f} points from the published {entry.published_accuracy:.2%} "
        f"({entry.published_on} accuracy).".replace("%", " %")
    ]


def _note_of_count(runs: Sequence[RecordedRun]) -> list[str]:
    if not 0 < len(runs) < ENOUGH_RUNS:
        return []
    longest = max(map(train_minutes, runs))
    if longest > LONG_MINUTES:
        return [f"n = {len(runs)}: a run takes {longest:.0f} minutes, more than {LONG_MINUTES}."]
    return [
        f"n = {len(runs)}, fewer than the {ENOUGH_RUNS} that runs under {LONG_MINUTES} minutes "
        "are to have."
    ]


def _article_flow(entry: Entry, results: Results) -> str:
    """Returns what the article's own code gives with the same weights, if that was measured."""
    # A recipe has no article: it is put beside that of the experiment whose script it runs.
    name = entry.script if entry.is_recipe else entry.name
    found = read_record(results.folder / name / "article.json")
    if not found:
        return "The article's own flow was not run with them yet."
    cores = found["machine"]["cpus_available"]
    done, whole = (" + ".join(map(str, found[which])) for which in ("epochs", "epochs_of_article"))
    shortened = f" and only {done} of its {whole} epochs" if done != whole else ""
    return (
        f"The article's own flow with the same weights{shortened}: {100 * found['accuracy']:.2f} % "
        f"test accuracy (`{found['command']}`, {found['seconds'] / 60:.1f} minutes on "
        f"{cores} core{'s' if cores > 1 else ''}, {found['gigabytes']:.2f} GB)."
    )
