from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import owens_t

from tui_mia.power import _owen, power_at, samples_needed, smallest_detectable_auc

SIZES = st.integers(10, 100_000)


@pytest.mark.parametrize("height", [-2.5, -0.3, 0.0, 0.7, 3.0])
def test_the_normal_integral_is_that_of_scipy(height: float) -> None:
    assert _owen(height) == pytest.approx(owens_t(height, 3**-0.5), abs=1e-8)


def test_without_signal_the_power_is_the_level() -> None:
    assert power_at(0.5, 10**6, 10**6) == pytest.approx(0.025, abs=1e-4)


@given(positives=SIZES, negatives=SIZES)
def test_the_smallest_detectable_auc_has_just_the_power_asked_for(positives: int, negatives: int) -> None:
    found = smallest_detectable_auc(positives, negatives)
    assert found is not None
    assert power_at(found, positives, negatives) == pytest.approx(0.8, abs=0.01)
    assert found == pytest.approx(smallest_detectable_auc(negatives, positives))


def test_more_samples_show_less() -> None:
    found = [smallest_detectable_auc(n, n) for n in (15, 100, 400, 1000, 27_000)]
    assert found == pytest.approx([0.796, 0.614, 0.557, 0.536, 0.507], abs=0.005)


def test_a_handful_of_samples_shows_nothing() -> None:
    assert smallest_detectable_auc(9, 100_000) is None
    assert power_at(0.99, 5, 5) == 0.0


@given(auc=st.floats(0.52, 0.98), ratio=st.floats(0.2, 5))
def test_the_samples_needed_are_the_fewest_that_will_do(auc: float, ratio: float) -> None:
    found = samples_needed(auc, ratio)
    assert found is not None
    positives, negatives = found
    assert power_at(auc, positives, negatives) >= 0.8
    fewer = positives - 1
    assert power_at(auc, fewer, round(fewer * ratio)) < 0.8


def test_chance_is_never_shown() -> None:
    assert samples_needed(0.5) is None
    assert samples_needed(0.50001) is None


def test_an_auc_of_one_is_no_plan() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        power_at(1.0, 50, 50)
