from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_mia.evidence import q_values
from tui_mia.evidence.discovery import holm


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    # By hand: p * n / rank, then the smallest of what follows.
    assert q_values(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=50))
def test_a_q_value_is_never_below_its_p_value_and_keeps_the_order(values: list[float]) -> None:
    p_values = np.array(values)
    found = q_values(p_values)
    assert (found >= p_values - 1e-12).all()
    assert (np.diff(found[np.argsort(p_values)]) >= -1e-12).all()


def test_holm_multiplies_by_the_number_of_tests_that_are_left_and_keeps_the_order() -> None:
    # Holm 1979 by hand, as R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives it.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([])).shape == (0,)
