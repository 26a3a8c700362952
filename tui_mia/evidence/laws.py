"""What an interval and a p-value rest on: how an estimate is distributed around the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t as student

# The smallest distance from 1 that a float can tell.
NEXT_TO_NOTHING = 1e-15


class Law(Protocol):
    """An estimate's distribution: bounds of the truth, and one-sided p-values that agree with them."""

    @property
    def value(self) -> float: ...
    @property
    def standard_error(self) -> float: ...
    def bounds(self, level: float) -> tuple[float, float]: ...
    def p_above(self, threshold: float) -> float: ...
    def p_below(self, threshold: float) -> float: ...


@dataclass(frozen=True)
class Student:
    """Student's t around the truth, with a standard error above 0."""

    value: float
    standard_error: float
    degrees: float

    def bounds(self, level: float) -> tuple[float, float]:
        reach = float(student.ppf((1 + level) / 2, self.degrees)) * self.standard_error
        return self.value - reach, self.value + reach

    def p_above(self, threshold: float) -> float:
        return float(student.sf((self.value - threshold) / self.standard_error, self.degrees))

    def p_below(self, threshold: float) -> float:
        return float(student.cdf((self.value - threshold) / self.standard_error, self.degrees))


@dataclass(frozen=True)
class StudentOfLogit:
    """Student's t on the logit scale: for a share strictly between 0 and 1, whose interval stays there."""

    value: float
    standard_error: float
    degrees: float

    def bounds(self, level: float) -> tuple[float, float]:
        low, high = self._on_logits.bounds(level)
        return float(expit(low)), float(expit(high))

    def p_above(self, threshold: float) -> float:
        return self._on_logits.p_above(float(logit(threshold)))

    def p_below(self, threshold: float) -> float:
        return self._on_logits.p_below(float(logit(threshold)))

    @property
    def _on_logits(self) -> Student:
        error = self.standard_error / (self.value * (1 - self.value))
        return Student(float(logit(self.value)), error, self.degrees)


@dataclass(frozen=True)
class Hoeffding:
    """A bound that holds for the mean of any scores between `smallest` and `largest`, in sets of any size.

    For a mean over all pairs of two sides it counts the `pairs` that share no
    sample: the smaller side (Hoeffding 1963, equation 2.1 and section 5b).
    """

    value: float
    pairs: float
    smallest: float
    largest: float

    @property
    def standard_error(self) -> float:
        return math.nan

    def bounds(self, level: float) -> tuple[float, float]:
        tail, share = (1 - level) / 2, self._share(self.value)
        low = self._end(share, 0.0, NEXT_TO_NOTHING, tail)
        high = self._end(share, 1.0, 1 - NEXT_TO_NOTHING, tail)
        width = self.largest - self.smallest
        return self.smallest + width * low, self.smallest + width * high

    def p_above(self, threshold: float) -> float:
        return self._chance(self._share(threshold)) if self.value > threshold else 1.0

    def p_below(self, threshold: float) -> float:
        return self._chance(self._share(threshold)) if self.value < threshold else 1.0

    def _end(self, share: float, end: float, beside_end: float, tail: float) -> float:
        """The truth between the found share and an end of the scale at which the chance is `tail`."""
        if share == end or self._chance(beside_end) >= tail:
            return end
        return float(brentq(lambda truth: self._chance(truth) - tail, share, beside_end))

    def _share(self, value: float) -> float:
        return (value - self.smallest) / (self.largest - self.smallest)

    def _chance(self, truth: float) -> float:
        """The most likely it can be, with this truth, to find something as far off as `value`."""
        found = self._share(self.value)
        if not 0 < truth < 1:
            return 1.0 if truth == found else 0.0
        log_odds = sum(
            share * math.log(share / other)
            for share, other in ((found, truth), (1 - found, 1 - truth))
            if share > 0
        )
        return math.exp(-self.pairs * log_odds)
