"""Content: what differs in anything that a part is made of has another digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tui_mia.encoder.content import EntriesDigest
from tui_mia.pools import Pair, Reject

CAT = Pair("1", "a.csv", b"cat", "a cat", 1, None, {"width": 4})
DOG = Pair("2", "a.csv", b"dog", "a dog", 2, True, {})
NONE = Reject("3", "a.csv", "no image", 3)
ENTRIES = (CAT, DOG, NONE)


def digest(entries: Sequence[Pair | Reject]) -> str:
    content = EntriesDigest()
    assert list(content.watch(entries)) == list(entries)
    return content.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        (DOG, CAT, NONE),
        (CAT, DOG),
        (*ENTRIES, NONE),
        (replace(CAT, key="01"), DOG, NONE),
        (replace(CAT, source="b.csv"), DOG, NONE),
        (replace(CAT, image=b"cat "), DOG, NONE),
        (replace(CAT, image=DOG.image), replace(DOG, image=CAT.image), NONE),
        (replace(CAT, caption="a cat "), DOG, NONE),
        (replace(CAT, member=False), DOG, NONE),
        (replace(CAT, metadata={"width": 4.0}), DOG, NONE),
        (replace(CAT, metadata={"width": True}), DOG, NONE),
        (CAT, DOG, replace(NONE, reason="no image: 404")),
        (CAT, DOG, Pair("3", "a.csv", b"", "no image", 3)),
    ],
)
def test_whatever_differs_is_another_content(other: Sequence[Pair | Reject]) -> None:
    assert digest(other) != digest(ENTRIES)


def test_a_caption_can_not_pass_for_the_entry_after_it() -> None:
    """As it could where fields were joined by a mark that may stand in a caption."""
    line = '", null, {}]\n["2", "a.csv", "'
    one = Pair("1", "a.csv", b"cat", f"a cat{line}", 1)
    assert digest([one]) != digest([replace(one, caption="a cat"), replace(one, key="2", caption="")])
    assert digest([replace(one, key="1\0", caption="2")]) != digest([replace(one, key="1", caption="\x002")])
    assert digest([replace(one, caption="\ud800")]) != digest([replace(one, caption="\\ud800")])


def test_where_an_entry_is_in_its_file_does_not_matter() -> None:
    assert digest([replace(entry, position=99) for entry in ENTRIES]) == digest(ENTRIES)


def test_equal_images_count_as_equal_whether_or_not_they_share_their_bytes() -> None:
    again = replace(CAT, key="4")
    assert digest([CAT, again]) == digest([CAT, replace(again, image=bytes(bytearray(CAT.image)))])
