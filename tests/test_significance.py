"""Whether two groups of figures differ: against SciPy's own tests, and where there is no test."""

import numpy as np
import pytest
from scipy import stats

from epochlab.significance import judge_pairs, mean_interval

ONE = (0.9910, 0.9924, 0.9918, 0.9907)
OTHER = (0.9931, 0.9940, 0.9922)


def test_a_pair_gets_welchs_test_and_interval():
    (verdict,) = judge_pairs([ONE, OTHER])
    expected = stats.ttest_ind(ONE, OTHER, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert verdict.difference == pytest.approx(np.mean(ONE) - np.mean(OTHER))
    assert verdict.p_value == pytest.approx(expected.pvalue)
    assert verdict.interval == pytest.approx((interval.low, interval.high))
    assert verdict.counts == (4, 3)


def test_the_interval_of_a_mean_is_students():
    expected = stats.t.interval(0.95, 3, np.mean(ONE), stats.sem(ONE))
    assert mean_interval(ONE) == pytest.approx(expected)
    assert mean_interval([0.5]) is None


def test_p_values_of_several_pairs_are_adjusted_by_holms_method():
    groups = [ONE, OTHER, (0.9951, 0.9949, 0.9955)]
    raw = [
        stats.ttest_ind(groups[first], groups[second], equal_var=False).pvalue
        for first, second in ((0, 1), (0, 2), (1, 2))
    ]
    ranked = sorted(raw)
    by_hand = np.maximum.accumulate([ranked[0] * 3, ranked[1] * 2, ranked[2]])
    expected = [by_hand[ranked.index(value)] for value in raw]
    assert [verdict.p_value for verdict in judge_pairs(groups)] == pytest.approx(expected)


def test_a_difference_counts_as_real_below_five_percent():
    (far,) = judge_pairs([(0.90, 0.91, 0.90), (0.95, 0.96, 0.95)])
    (near,) = judge_pairs([(0.90, 0.93, 0.96), (0.91, 0.94, 0.96)])
    assert far.is_real and not near.is_real


def test_turned_round_a_verdict_says_the_same():
    (verdict,) = judge_pairs([ONE, OTHER])
    (other,) = judge_pairs([OTHER, ONE])
    turned = verdict.turned()
    assert (turned.difference, turned.p_value) == pytest.approx((other.difference, other.p_value))
    assert turned.interval == pytest.approx(other.interval)
    assert (turned.first, turned.second, turned.counts) == (1, 0, (3, 4))


@pytest.mark.parametrize("groups", [[(0.9,), ONE], [(0.9, 0.9), (0.8, 0.8)]])
def test_without_spread_there_is_no_test(groups):
    (verdict,) = judge_pairs(groups)
    assert verdict.p_value is None and verdict.interval is None and not verdict.is_real


def test_a_group_without_figures_has_no_verdict():
    assert judge_pairs([ONE, ()]) == []
