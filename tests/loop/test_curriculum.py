"""Curricula: a clock and a window, as published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.loop.curriculum import Clock, Window


class TestClock:
    def test_it_is_the_formula_of_zerosearch(self):
        """`llm_agent/generation.py`: start + (4^(t/T) - 1) / 3 * (end - start), start 0, end 0.5."""
        clock = Clock(200)
        for step in (0, 1, 77, 199, 200):
            assert clock.value(step) == pytest.approx(0 + (4 ** (step / 200) - 1) / 3 * (0.5 - 0), abs=1e-15)
        assert clock.difficulty(100) == 17  # of the rise to 50, a third at half the time
        assert (Clock(10, 0.2, 0.8).value(0), Clock(10, 0.2, 0.8).value(10)) == (0.2, pytest.approx(0.8))

    def test_it_stays_at_its_ends_and_may_be_straight_or_fall(self):
        clock = Clock(10, 0, 1, base=1)
        assert [clock.difficulty(step) for step in (-5, 0, 3, 10, 99)] == [0, 0, 30, 100, 100]
        assert Clock(10, 1, 0).value(5) == pytest.approx(2 / 3)

    @given(st.floats(0.01, 100), st.integers(1, 50))
    def test_it_rises_from_start_to_end(self, base, steps):
        values = [Clock(steps, 0, 1, base).value(step) for step in range(steps + 1)]
        assert values == sorted(values)
        assert values[0] == 0
        assert values[-1] == pytest.approx(1)

    def test_wrong_settings_say_what_is_wrong(self):
        with pytest.raises(ValueError, match="steps, the length of the training, must be at least 1, not 0"):
            Clock(0)
        with pytest.raises(ValueError, match="base must be above 0, not -1"):
            Clock(5, base=-1)


class TestWindow:
    def test_it_moves_up_when_90_percent_of_32_at_its_end_passed(self):
        window = Window(high=7)
        assert (window.low, window.high) == (2, 7)
        assert window.after(7, [True] * 31) == Window(high=7, recent=(True,) * 31)
        assert window.after(7, [True] * 32) == Window(high=8)
        assert window.after(7, [False] * 3 + [True] * 29) == Window(high=8)  # 29 of 32 are 90.6%
        assert window.after(7, [False] * 4 + [True] * 28).high == 7  # 87.5%
        assert window.after(7, [False] * 4 + [True] * 29).high == 8  # the oldest is forgotten

    def test_rollouts_below_its_end_do_not_count(self):
        assert Window(high=7).after(6, [True] * 99) == Window(high=7)
        assert Window(high=7).after(8, [True] * 99) == Window(high=7)

    def test_it_stays_between_least_and_most(self):
        assert Window(high=99, step=5).after(99, [True] * 32).high == 100
        assert Window(high=100).after(100, [True] * 32).high == 100
        assert Window(high=2).low == 0
        assert Window(high=12, least=10, width=0).low == 12

    @given(st.lists(st.booleans(), max_size=80))
    def test_batches_may_be_of_any_size_up_to_a_move(self, passed):
        whole, single = Window(rollouts=8, share=0.75).after(0, passed), Window(rollouts=8, share=0.75)
        for one in passed:
            if single.high == 0:
                single = single.after(0, [one])
        assert (whole.high, whole.recent) == (single.high, single.recent)

    def test_draws_are_even_and_a_function_of_the_key(self):
        window = Window(high=7)
        drawn = [window.difficulty("seed", number) for number in range(3000)]
        assert sorted(set(drawn)) == [2, 3, 4, 5, 6, 7]
        assert max(abs(drawn.count(value) - 500) for value in range(2, 8)) < 105  # five standard deviations
        assert drawn == [window.difficulty("seed", number) for number in range(3000)]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"high": 101}, "high must lie between least and most, 0 and 100, not 101"),
            ({"step": 0}, "step and rollouts at least 1"),
            ({"share": 0}, "share must be above 0 and at most 1, not 0"),
        ],
    )
    def test_wrong_settings_say_what_is_wrong(self, settings, message):
        with pytest.raises(ValueError, match=message):
            Window(**settings)
