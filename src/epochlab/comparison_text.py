"""A comparison as a person reads it in a terminal."""

import io
import statistics
from collections import Counter
from collections.abc import Sequence

from epochlab.compare import HIGHER_IS_BETTER, Comparison, Group, describe_figures, read_figures
from epochlab.significance import METHOD, Verdict, judge_pairs, mean_interval

# More pairs than this are shown against the best group only; the file has them all.
MOST_PAIRS = 10


def describe_comparison(comparison: Comparison, metric: str) -> str:
    """Returns the table of groups, what to know of the runs, and a verdict for each pair."""
    parts = [_draw_table(comparison.groups, metric)]
    unfinished = [group.runs[0] for group in comparison.groups if not group.is_finished]
    lines = [f"not finished, so in no mean: {run.name}: {run.state}" for run in unfinished]
    lines += [
        f"counted once: {run.name} has config and seed of {kept.name}"
        for run, kept in comparison.repeated
    ]
    lines += [f"note: {note}" for note in comparison.notes]
    if lines:
        parts.append("\n".join(lines))
    parts.append(describe_verdicts(comparison.groups, metric))
    return "\n\n".join(part for part in parts if part)


def describe_verdicts(groups: Sequence[Group], metric: str) -> str:
    """Returns a line per pair of finished groups, the better one first, and the method."""
    verdicts = [_better_first(verdict, metric) for verdict in _judge(groups, metric)]
    if not verdicts:
        return ""
    shown, left_out = verdicts, 0
    if len(verdicts) > MOST_PAIRS:
        wins = Counter(verdict.first for verdict in verdicts)
        best = max(wins, key=lambda position: wins[position])
        shown = [verdict for verdict in verdicts if best in (verdict.first, verdict.second)]
        left_out = len(verdicts) - len(shown)
    lines = [f"{metric}, pair by pair:"]
    lines += [f"  {describe_verdict(verdict)}" for verdict in shown]
    if left_out:
        lines.append(f"  and {left_out} pairs more in verdicts.csv")
    tested = sum(verdict.p_value is not None for verdict in verdicts)
    if tested:
        lines.append(METHOD.format(pairs=f"{tested} pair{'s' if tested > 1 else ''}"))
    if any(min(verdict.counts) < 2 for verdict in verdicts):
        lines.append(
            "a config with one run says nothing of its spread; more seeds of the same:\n"
            "epochlab repeat EXPERIMENT --config RUN/config.yaml --seeds 5"
        )
    return "\n".join(lines)


def describe_verdict(verdict: Verdict) -> str:
    """Returns what a verdict says, for a person; groups go by their number in the table."""
    pair = f"{verdict.first + 1} vs {verdict.second + 1}: {verdict.difference:+.4f}"
    counts = " and ".join(map(str, verdict.counts))
    if verdict.interval is None or verdict.p_value is None:
        if min(verdict.counts) < 2:
            return f"{pair}, no test with n = {counts}"
        return f"{pair}, no test: nothing varies between the seeds (n = {counts})"
    low, high = verdict.interval
    outcome = "a real difference" if verdict.is_real else f"not distinguishable with n = {counts}"
    p_value = "p < 0.0001" if verdict.p_value < 1e-4 else f"p = {verdict.p_value:.4f}"
    return f"{pair} ({low:+.4f} to {high:+.4f}), {p_value}: {outcome}"


def _judge(groups: Sequence[Group], metric: str) -> list[Verdict]:
    return judge_pairs([group.figures(metric) for group in groups])


def _better_first(verdict: Verdict, metric: str) -> Verdict:
    if (verdict.difference >= 0) == HIGHER_IS_BETTER[metric]:
        return verdict
    return verdict.turned()


def _draw_table(groups: Sequence[Group], metric: str) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("config", overflow="fold", ratio=1)
    for name in ("n", f"{metric} ± sd", "95 %", "epochs", "best", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, group in enumerate(groups, 1):
        table.add_row(str(number), *_row(group, metric))
    written = io.StringIO()
    # The width of a person's terminal, or 80 columns in a file.
    console = Console(file=written, width=Console().width, markup=False, highlight=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _row(group: Group, metric: str) -> list[str]:
    figures = [read_figures(run) for run in group.runs]
    values = group.figures(metric)
    interval = mean_interval(values)
    seconds = [value["train_seconds"] or 0.0 for value in figures]
    return [
        _plain(group),
        str(len(group.runs)),
        describe_figures(values),
        f"± {(interval[1] - interval[0]) / 2:.4f}" if interval else "-",
        _span([value["epochs"] for value in figures]),
        _span([value["best_epoch"] for value in figures]),
        f"{statistics.fmean(seconds):.1f}",
    ]


def _plain(group: Group) -> str:
    return group.label.removesuffix(f" (n = {len(group.runs)})")


def _span(values: Sequence[float | None]) -> str:
    known = sorted(int(value) for value in values if value is not None)
    if not known:
        return "-"
    return str(known[0]) if known[0] == known[-1] else f"{known[0]}-{known[-1]}"
