from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pytest

from tui_mia.pools.fields import clean_caption, clean_label, clean_metadata
from tui_mia.pools.found import UnusableError


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "YES", "1", " Member ", "1.0"])
def test_these_say_that_a_pair_is_a_member(value: object) -> None:
    assert clean_label(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "No", "0", "nonmember", "Non-Member"])
def test_these_say_that_a_pair_is_not_a_member(value: object) -> None:
    assert clean_label(value) is False


@pytest.mark.parametrize("value", [None, "", "  ", math.nan])
def test_these_say_nothing_about_membership(value: object) -> None:
    assert clean_label(value) is None


@pytest.mark.parametrize("value", ["maybe", 2, -1, "trueish", [True]])
def test_any_other_label_is_refused_by_name(value: object) -> None:
    with pytest.raises(UnusableError, match=r"member is .*; write true, false or nothing"):
        clean_label(value)


def test_a_long_or_unprintable_label_is_shortened_and_escaped_in_the_reason() -> None:
    with pytest.raises(UnusableError) as refusal:
        clean_label("\x1b[31m" + "x" * 1000)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 120


def test_a_caption_keeps_everything_but_the_whitespace_around_it() -> None:
    assert clean_caption(" a\x1b b\n\u00e9 \n") == "a\x1b b\n\u00e9"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no caption"),
        (math.nan, "no caption"),
        (" \n", "empty caption"),
        (["a"], "caption is a list, not text"),
        (3, "caption is a number, not text"),
        ("ab\udcff", "caption is not valid text at character 2: broken UTF-8 or a lone surrogate"),
        ("\ud800", "caption is not valid text at character 0: broken UTF-8 or a lone surrogate"),
    ],
)
def test_an_unusable_caption_is_refused_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(UnusableError) as refusal:
        clean_caption(value)
    assert str(refusal.value) == reason


def test_metadata_keeps_what_json_can_hold() -> None:
    assert clean_metadata(
        {
            "bytes": b"x",
            "nan": math.nan,
            "infinite": -math.inf,
            "day": datetime.date(2026, 1, 2),
            "time": datetime.datetime(2026, 1, 2, 3, 4, 5),
            "price": Decimal("1.5"),
            "nested": {"a": [1, None, math.nan, b"y"], "b": b"z"},
            "escaped\udcff": "\udcfe",
            "true": True,
            "large": 2**70,
        }
    ) == {
        "nan": None,
        "infinite": None,
        "day": "2026-01-02",
        "time": "2026-01-02T03:04:05",
        "price": 1.5,
        "nested": {"a": [1, None, None]},
        "escaped\\udcff": "\\udcfe",
        "true": True,
        "large": 2**70,
    }
