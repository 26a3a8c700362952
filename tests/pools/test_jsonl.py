from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_mia.pools import Pair, PoolError, Reject, plan_shards
from tui_mia.pools.pair import Json
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


@pytest.fixture
def lines(tmp_path: Path, picture: Picture) -> Callable[..., str]:
    """Writes lines beside the image `cat.png`, and returns their path."""
    (tmp_path / "cat.png").write_bytes(picture())

    def write(*rows: str | bytes, name: str = "pairs.jsonl") -> str:
        content = b"\n".join(row if isinstance(row, bytes) else row.encode() for row in rows)
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.NDJSON"])
def test_a_line_is_a_pair_and_its_other_fields_keep_their_types(
    lines: Callable[..., str], read_pool: ReadPool, picture: Picture, name: str
) -> None:
    source = lines(
        '{"image": "cat.png", "caption": "a cat", "member": false, "n": 3, "x": NaN, "tags": ["a", null]}',
        name=name,
    )
    metadata: dict[str, Json] = {"n": 3, "x": None, "tags": ["a", None]}
    assert read_pool(source=source)[0] == [Pair("0", source, picture(), "a cat", 1, False, metadata)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "JSON holds a list, not an object"),
        ("[" * 10**5, "JSON is nested too deeply"),
        ('{"image": "cat.png"}', "no caption"),
        ('{"image": "cat.png", "caption": null}', "no caption"),
        ('{"image": "cat.png", "caption": "\\ud800"}', "caption is not valid text at character 0"),
        (b'{"image": "cat.png", "caption": "a\xff"}', "caption is not valid text at character 1"),
        ('{"caption": "c"}', "no image"),
        ('{"image": 3, "caption": "c"}', "image is neither bytes nor a path"),
        ('{"image": "cat.png", "caption": "c", "member": "dunno"}', "member is 'dunno'"),
        ('{"image": "cat.png", "caption": "c", "x": ' + "[" * 800 + "]" * 800 + "}", "nested too deeply"),
    ],
)
def test_a_broken_line_is_one_reject_and_its_neighbours_are_read(
    lines: Callable[..., str], read_pool: ReadPool, row: str | bytes, reason: str
) -> None:
    good = '{"image": "cat.png", "caption": "c"}'
    pairs, [reject] = read_pool(source=lines(good, row, good))
    assert [pair.key for pair in pairs] == ["0", "2"]
    assert reject.key == "1"
    assert reason in reject.reason


def test_an_oversized_line_is_rejected_and_passed_over(
    lines: Callable[..., str], read_pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("text_lines", "jsonl_rows"):
        monkeypatch.setattr(f"tui_mia.pools.{module}.LINE_LIMIT_BYTES", 100)
    good = '{"image": "cat.png", "caption": "c"}'
    pairs, [reject] = read_pool(source=lines(good, '{"caption": "' + "c" * 500 + '"}', good))
    assert [pair.key for pair in pairs] == ["0", "2"]
    assert reject.reason == "line is longer than 100 bytes"


def test_shards_begin_at_the_right_line_also_after_blank_ones(
    lines: Callable[..., str], read_pool: ReadPool
) -> None:
    rows = [f'{{"image": "cat.png", "caption": "c{i}", "key": {i}}}' for i in range(7)]
    source = lines("\ufeff" + rows[0], "", *rows[1:3], " ", "", *rows[3:], "")
    for rows_per_shard in (1, 2, 3, 7, 100):
        pairs, rejects = read_pool(rows_per_shard, source=source)
        assert [pair.caption for pair in pairs] == [f"c{i}" for i in range(7)]
        assert rejects == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"url": "x", "caption": "c"}', "has no column 'image' for the image; its columns are url, caption"),
        ("plain text", "no row can be read, the first because: not valid JSON"),
    ],
)
def test_lines_that_can_not_be_used_are_refused(lines: Callable[..., str], row: str, message: str) -> None:
    with pytest.raises(PoolError) as refusal:
        plan_shards("nonmembers", PoolSpec(source=[lines(row)]))
    assert message in str(refusal.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=st.dictionaries(st.sampled_from(["image", "caption", "member", "key", "more"]), anything)
    | st.lists(anything)
)
def test_a_row_of_any_values_is_a_pair_or_a_reject_and_its_neighbours_are_read(
    lines: Callable[..., str], read_pool: ReadPool, odd: Any
) -> None:
    good = [json.dumps({"image": "cat.png", "caption": f"c{number}"}) for number in range(2)]
    pairs, rejects = read_pool(source=lines(good[0], json.dumps(odd), good[1]))
    assert [pairs[0].caption, pairs[-1].caption] == ["c0", "c1"]
    assert len(pairs) + len(rejects) == 3
    assert all(reject.reason for reject in rejects)
