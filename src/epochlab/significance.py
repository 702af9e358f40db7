"""Whether two groups of runs differ by more than their seeds do."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

LEVEL = 0.05
METHOD = (
    "difference of means (its 95 % interval, for that pair alone), two-sided\n"
    "Welch's t-test on one figure per seed, p adjusted by Holm's method for {pairs}"
)


@dataclass(frozen=True)
class Verdict:
    """How two groups of figures compare.

    Attributes:
        first: Position of the first group.
        second: Position of the second group.
        difference: Mean of the first less mean of the second.
        interval: 95 % interval of the difference, or None where there can be none.
        p_value: Probability of such a difference without a cause, 0..1, adjusted for the number
            of pairs, or None.
        counts: Figures in each group.
    """

    first: int
    second: int
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    counts: tuple[int, int]

    @property
    def is_real(self) -> bool:
        """Whether the difference is more than chance explains."""
        return self.p_value is not None and self.p_value < LEVEL

    def turned(self) -> "Verdict":
        """Returns the same verdict with the groups the other way round."""
        interval = self.interval and (-self.interval[1], -self.interval[0])
        counts = self.counts[1], self.counts[0]
        return Verdict(self.second, self.first, -self.difference, interval, self.p_value, counts)


def judge_pairs(groups: Sequence[Sequence[float]]) -> list[Verdict]:
    """Compares each pair of groups by Welch's t-test, adjusted for their number by Holm's method.

    B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved" (1947); S. Holm, "A simple sequentially rejective multiple test
    procedure" (1979).

    Args:
        groups: The figures of each group, one per independent run.

    Returns:
        One verdict per pair. With a single figure in either group, or without any spread in both,
        there is no test.
    """
    verdicts = [
        _judge(first, second, groups[first], groups[second])
        for first, second in combinations(range(len(groups)), 2)
        if groups[first] and groups[second]
    ]
    return _adjust(verdicts)


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of the mean by Student's t, or None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    reach = float(stdtrit(len(values) - 1, 1 - LEVEL / 2))
    reach *= statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - reach, mean + reach


def _judge(first: int, second: int, one: Sequence[float], other: Sequence[float]) -> Verdict:
    difference = statistics.fmean(one) - statistics.fmean(other)
    counts = len(one), len(other)
    if min(counts) < 2 or statistics.pstdev(one) == statistics.pstdev(other) == 0:
        return Verdict(first, second, difference, None, None, counts)
    # Not scipy.stats, which takes a second to load.
    from scipy.special import stdtr, stdtrit

    shares = [statistics.variance(values) / len(values) for values in (one, other)]
    error = math.sqrt(sum(shares))
    freedom = error**4 / sum(
        share**2 / (count - 1) for share, count in zip(shares, counts, strict=True)
    )
    reach = error * float(stdtrit(freedom, 1 - LEVEL / 2))
    p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Verdict(
        first, second, difference, (difference - reach, difference + reach), p_value, counts
    )


def _adjust(verdicts: list[Verdict]) -> list[Verdict]:
    """Returns the verdicts with their p-values adjusted for the number of tests."""
    tested = sorted(
        (verdict.p_value, position)
        for position, verdict in enumerate(verdicts)
        if verdict.p_value is not None
    )
    adjusted, highest = list(verdicts), 0.0
    for rank, (p_value, position) in enumerate(tested):
        highest = max(highest, min(1.0, p_value * (len(tested) - rank)))
        adjusted[position] = replace(verdicts[position], p_value=highest)
    return adjusted
