from __future__ import annotations

import pytest

from tui_mia.store import SampleDetail, SampleRow
from tui_mia.tui.panes.sample.sample_texts import file_name, heading, metadata_lines, origin, readable


@pytest.mark.parametrize(
    ("key", "image", "expected"),
    [
        ("a/b/000123", b"\xff\xd8\xff\xe0", "000123.jpg"),
        ("x", b"\x89PNG\r\n", "x.png"),
        ("x", b"RIFF0000WEBP", "x.webp"),
        ("../../etc/passwd", b"GIF89a", "passwd.gif"),
        ("", b"?", "picture.bin"),
        ("..", b"?", "picture.bin"),
        ("-rf *; \x1b]2;x\n", b"?", "rf_2_x.bin"),
        ("k" * 500, b"?", "k" * 80 + ".bin"),
    ],
)
def test_a_file_name_is_proposed_that_harms_nobody(key: str, image: bytes, expected: str) -> None:
    assert file_name(key, image) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, "none"),
        ("", "none"),
        (
            '{"title": "Cat", "n": 1, "tags": ["a", "é"], "ok": null}',
            'title: Cat\nn: 1\ntags: ["a", "é"]\nok: null',
        ),
        ("no json [/x]\x1b", "no json [/x]\\x1b"),
        ("[1, 2]", "[1, 2]"),
        ('{"a\\u001b": "b\\nc"}', "a\\x1b: b\\nc"),
    ],
)
def test_metadata_is_a_line_a_field(metadata: str | None, expected: str) -> None:
    assert metadata_lines(metadata) == expected


def test_deep_metadata_is_no_crash() -> None:
    assert metadata_lines("[" * 100_000).startswith("[[[[")


def sample(
    member: bool | None = None, source: str = "/data/00000.tar", key: str = "k", pool: str = "nonmembers"
) -> SampleDetail:
    row = SampleRow(3, "8f" * 16, pool, key, "a cat", member, {}, {})
    return SampleDetail(row, source, 640, 480, None, [0.3], [])


def test_the_heading_says_where_it_is_and_where_it_makes_for() -> None:
    assert heading(sample(), 11, 11, 2000) == "12 of 2,000   #3   known non-member"
    assert heading(sample(), 11, 1233, 2000).startswith("12 → 1,234 of 2,000   ")


@pytest.mark.parametrize(
    ("member", "known"), [(True, "member"), (False, "non-member"), (None, "membership unknown")]
)
def test_the_heading_says_what_is_known_of_the_membership(member: bool | None, known: str) -> None:
    assert heading(sample(member, pool="candidates"), 0, 0, 1) == f"1 of 1   #3   candidates   {known}"


def test_the_origin_is_the_key_the_size_the_file_and_the_id() -> None:
    assert origin(sample()) == f"key k\n640 x 480 pixels, in 00000.tar\n{'8f' * 16}"
    assert origin(sample(source="/x/[b]\x1b", key="\x1b]2;x")).startswith(
        "key \\x1b]2;x\n640 x 480 pixels, in [b]\\x1b"
    )


def test_text_keeps_its_lines_and_loses_what_a_terminal_would_obey() -> None:
    assert readable("a\nb\x1b[2J\tc") == "a\nb\\x1b[2J\\tc"
    assert readable("x" * 20_001) == "x" * 20_000 + " … and 1 more characters"
