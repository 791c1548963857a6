"""The intervals: their parts equal SciPy's, they hold the true mean as often as they say, and say when they cannot."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import DIFFERENCE, MEAN, Cell, measure, percentile_bounds, simulate
from benchmarks.statistics import main as benchmark
from rec_gym.evaluation.intervals import (
    LEAST_OTHERS,
    LEAST_UNITS,
    mean_intervals,
    other_values,
    student_bounds,
    weighted_interval,
)
from rec_gym.evaluation.resampling import units_of


def bounds(values, users=(), **settings):
    """The interval of one series."""
    low, high, [reason] = mean_intervals(units_of(np.asarray(values, float)[:, None], users), **settings)
    return float(low[0]), float(high[0]), reason


class TestParts:
    @pytest.mark.parametrize("draw", ["exponential", "normal", "sparse"])
    def test_equals_the_parts_of_scipy(self, draw):
        rng = np.random.default_rng(1)
        values = {
            "exponential": rng.exponential(size=57),
            "normal": rng.normal(size=57),
            "sparse": np.where(rng.random(57) < 0.7, 0, rng.random(57)),
        }[draw]
        low, high, _ = bounds(values, seed=5, resamples=1999)
        mean, error = values.mean(), stats.sem(values)
        drawn = stats.bootstrap(
            (values,),
            lambda sample, axis: stats.ttest_1samp(sample, mean, axis=axis).statistic,
            n_resamples=1999,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(5),
        ).bootstrap_distribution
        # 2.5% of 1,999 + 1: the 50th from either end.
        below, above = np.sort(drawn)[[49, -50]]
        student = stats.t.interval(0.95, 56, loc=mean, scale=error)
        assert low == pytest.approx(min(mean - above * error, student[0]), abs=1e-12)
        assert high == pytest.approx(max(mean - below * error, student[1]), abs=1e-12)

    def test_is_near_the_normal_interval_of_a_large_sample(self):
        values = np.random.default_rng(2).normal(3, 2, 4000)
        low, high, _ = bounds(values)
        half = 1.96 * values.std() / math.sqrt(len(values))
        assert low == pytest.approx(values.mean() - half, abs=0.007)
        assert high == pytest.approx(values.mean() + half, abs=0.007)

    def test_user_sums_have_the_linearised_standard_error(self):
        rng = np.random.default_rng(3)
        counts = rng.integers(1, 9, 40)
        users = np.repeat([f"u{i}" for i in range(40)], counts)
        values = rng.normal(size=40)[np.repeat(np.arange(40), counts)] + rng.normal(size=len(users))
        low, high, _ = bounds(values, users)
        # The jackknife over users is another estimate of the same standard error.
        means = [values[users != f"u{i}"].mean() for i in range(40)]
        jackknife = math.sqrt(39 / 40 * ((np.array(means) - np.mean(means)) ** 2).sum())
        assert (high - low) / 2 >= 0.97 * stats.t.ppf(0.975, 39) * jackknife
        assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 39) * jackknife, rel=0.2)

    def test_weighted_samples(self):
        rng = np.random.default_rng(4)
        a, b = rng.normal(0, 1, 900), rng.normal(5, 1, 400)
        low, high, reason = weighted_interval([a, b], [0.5, -0.25])
        mean = 0.5 * a.mean() - 0.25 * b.mean()
        half = 1.96 * math.sqrt(0.25 * a.var() / 900 + 0.0625 * b.var() / 400)
        assert low == pytest.approx(mean - half, abs=0.007)
        assert high == pytest.approx(mean + half, abs=0.007)
        assert reason == ""

    def test_two_small_samples_are_at_least_as_wide_as_welch(self):
        rng = np.random.default_rng(5)
        a, b = rng.normal(0, 1, 6), rng.normal(0, 4, 9)
        low, high, _ = weighted_interval([a, b], [1, -1])
        welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
        assert low <= welch.low + 1e-12
        assert high >= welch.high - 1e-12

    def test_one_stratum_is_a_plain_mean(self):
        values = np.random.default_rng(6).exponential(size=40)
        low, high, _ = weighted_interval([values], [1.0], seed=3)
        assert (low, high) == pytest.approx(bounds(values, seed=3)[:2], abs=1e-12)


class TestProperties:
    values = np.where(np.random.default_rng(7).random(80) < 0.6, 0, np.random.default_rng(8).random(80))
    users = tuple(f"u{i % 20}" for i in range(80))

    @pytest.mark.parametrize("users", [(), users], ids=["requests", "users"])
    def test_moves_and_scales_with_the_values(self, users):
        low, high, _ = bounds(self.values, users)
        assert bounds(self.values + 100, users)[:2] == pytest.approx((low + 100, high + 100), abs=1e-9)
        assert bounds(self.values * 7, users)[:2] == pytest.approx((low * 7, high * 7), abs=1e-9)
        assert low < self.values.mean() < high

    def test_is_wider_with_fewer_requests(self):
        widths = []
        for copies in (1, 2, 4, 8):
            low, high, _ = bounds(np.tile(self.values, copies))
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True)
        assert widths[0] / widths[-1] == pytest.approx(math.sqrt(8), rel=0.15)

    def test_leans_to_where_the_tail_is(self):
        low, high, _ = bounds(self.values**4)
        mean = (self.values**4).mean()
        assert high - mean > 1.1 * (mean - low)

    def test_the_same_seed_gives_the_same_numbers_whatever_else_is_compared(self):
        single = bounds(self.values, seed=1)
        assert single == bounds(self.values, seed=1)
        assert single != bounds(self.values, seed=2)
        beside = np.stack([self.values, np.arange(80.0)], axis=1)
        low, high, _ = mean_intervals(units_of(beside), seed=1)
        assert (low[0], high[0]) == pytest.approx(single[:2], abs=1e-12)

    def test_users_are_resampled_with_all_of_their_requests(self):
        tripled = bounds(np.repeat(self.values, 3), np.repeat([f"u{i}" for i in range(80)], 3), seed=1)
        assert tripled[:2] == pytest.approx(bounds(self.values, seed=1)[:2], abs=1e-12)


class TestTooFew:
    def test_few_requests_and_few_users(self):
        assert bounds(np.arange(LEAST_UNITS - 1))[2] == "too few requests: 7, at least 8 are needed"
        assert np.isnan(bounds(np.arange(LEAST_UNITS - 1))[:2]).all()
        assert np.isfinite(bounds(np.arange(LEAST_UNITS))[:2]).all()
        users = [f"u{i % 5}" for i in range(500)]
        assert bounds(np.arange(500), users)[2] == "too few users: 5, at least 8 are needed"

    @pytest.mark.parametrize("common", [0.0, 1.0])
    def test_few_requests_that_differ(self, common):
        values = np.full(1000, common)
        assert bounds(values)[2].startswith("too few requests that differ: 0 of 1,000 have a value other than the most")
        values[: LEAST_OTHERS - 1] = np.linspace(0.2, 0.8, LEAST_OTHERS - 1)
        assert "5 of 1,000" in bounds(values)[2]
        assert np.isnan(bounds(values)[:2]).all()
        values[LEAST_OTHERS - 1] = 0.5
        assert bounds(values)[2] == ""
        assert np.isfinite(bounds(values)[:2]).all()

    def test_each_series_has_its_own_reason(self):
        series = np.stack([np.arange(20.0), np.zeros(20)], axis=1)
        low, _, reasons = mean_intervals(units_of(series))
        assert np.isnan(low).tolist() == [False, True]
        assert [bool(reason) for reason in reasons] == [False, True]

    def test_rounding_makes_no_other_value(self):
        assert other_values(np.array([[0.3], [0.1 + 0.2], [0.3], [0.5]])).tolist() == [1]

    def test_strata(self):
        many = np.arange(20.0)
        assert "1 of 2 strata have only one" in weighted_interval([many, np.array([7.0])], [0.5, 0.5])[2]
        assert weighted_interval([np.arange(3.0), np.arange(4.0)], [0.5, 0.5])[2].startswith("too few requests: 7")
        low, high, reason = weighted_interval([np.zeros(20), np.ones(20)], [0.5, 0.5])
        assert np.isnan([low, high]).all()
        assert "0 of 40" in reason


class TestCoverage:
    # 2,000 simulations of a cell: a coverage of .93 has a standard error of .0057, and three of them are allowed.
    SIMULATIONS, ALLOWED = 2000, 0.93 - 3 * math.sqrt(0.93 * 0.07 / 2000)

    @pytest.mark.parametrize(
        "cell",
        [
            Cell(MEAN, 20, 0.0),
            Cell(MEAN, 50, 0.85),
            Cell(MEAN, 300, 0.95),
            Cell(DIFFERENCE, 100, 0.85),
            Cell(MEAN, 12, 0.0, "several"),
            Cell(DIFFERENCE, 30, 0.85, "several"),
        ],
        ids=str,
    )
    def test_is_held(self, cell):
        found = measure(cell, self.SIMULATIONS, 1000, seed=1)
        assert found.printed > 0.7
        assert found.of_printed >= self.ALLOWED
        assert found.student >= self.ALLOWED
        assert found.misses <= 1 - self.ALLOWED

    @pytest.mark.parametrize("cell", [Cell(MEAN, 50, 0.85), Cell(MEAN, 12, 0.5, "several")], ids=str)
    def test_the_percentile_bootstrap_does_not_hold_it(self, cell):
        assert measure(cell, self.SIMULATIONS, 1000, seed=1).percentile < self.ALLOWED

    def test_no_interval_is_printed_where_nothing_can_be_known(self):
        assert measure(Cell(MEAN, 20, 0.95), 500, 200).printed == 0
        assert measure(Cell(DIFFERENCE, 6, 0.0, "several"), 500, 200).printed == 0

    def test_simulations_have_the_means_that_they_state(self):
        for cell in (Cell(MEAN, 400, 0.85), Cell(DIFFERENCE, 400, 0.5), Cell(DIFFERENCE, 60, 0.85, "uneven")):
            means = simulate(cell, 1000, np.random.default_rng(0)).means
            assert means.mean() == pytest.approx(cell.truth, abs=4 * means.std() / math.sqrt(1000))

    def test_the_methods_agree_where_there_is_much_data(self):
        units = simulate(Cell(MEAN, 1000, 0.0), 3, np.random.default_rng(0))
        np.testing.assert_allclose(student_bounds(units), percentile_bounds(units), atol=0.003)

    def test_the_quick_benchmark_prints_its_tables(self, capsys, monkeypatch):
        monkeypatch.setattr("benchmarks.statistics.grid", lambda quick: [Cell(MEAN, 20, 0.5), Cell(MEAN, 12, 0.95)])
        monkeypatch.setattr("benchmarks.statistics.speed", lambda: "")
        benchmark(["--quick", "--resamples", "200"])
        out = capsys.readouterr().out
        assert "| 20 | 50% | 0." in out
        assert "500 simulations of each cell" in out
