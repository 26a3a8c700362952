from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.conftest import HOSTILE, StoreRun
from tui_mia.report import Format, Include, format_of, gather, rendered, write_report
from tui_mia.report.markdown import code, plain
from tui_mia.store import ExportError

LOADS = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}
VOID = {"meta", "img"}


class Page(HTMLParser):
    """The elements, attributes and text of a document, and whether its tags are in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(database: Path, include: Include | None = None) -> Page:
    return Page(rendered(gather(database, "run-a", include), Format.HTML))


def test_the_page_says_verdict_reasons_figures_checks_samples_and_how_to_repeat_it(
    store_run: StoreRun,
) -> None:
    text = page(store_run()).text
    for words in (
        "Verdict: leak",
        "csa: AUC 0.740 (0.610 to 0.840), above chance.",
        "0.550 to 0.830",
        "20 against 20 are too few.",
        "No reference model was given",
        "a photo of",
        "not an image",
        "5a5a5a",
        "2026-01-01 12:00:00 UTC",
        "tui-mia verify run-a",
    ):
        assert words in text


def test_the_roc_has_the_stored_intervals_of_the_attack_that_decided(store_run: StoreRun) -> None:
    found = page(store_run())
    assert "the 95 % intervals of the true positive rates of csa" in found.text
    (label,) = (value for _, name, value in found.attributes if name == "aria-label" and "ROC" in value)
    assert label.endswith("; csa at FPR 0.1: TPR from 0.100 to 0.600")


def test_the_page_needs_nothing_but_itself(store_run: StoreRun) -> None:
    found = page(store_run())
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(found.tags)
    assert all(
        value.startswith("data:image/jpeg;base64,") for _, name, value in found.attributes if name in LOADS
    )
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert "img" in found.tags


def test_the_policy_allows_this_very_style_and_nothing_else(store_run: StoreRun) -> None:
    document = rendered(gather(store_run(), "run-a"), Format.HTML)
    (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(
        value for tag, name, value in Page(document).attributes if name == "content" and "src" in value
    )
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_text_is_shown_and_not_obeyed(store_run: StoreRun) -> None:
    error = f"{HOSTILE}\n{HOSTILE}"
    database = store_run(
        captions=lambda number: f"{HOSTILE}{number}",
        architecture=HOSTILE,
        device=HOSTILE,
        skipped={HOSTILE: HOSTILE},
        error=error,
        attacks=("csa", HOSTILE),
        checks=[{"check": HOSTILE, "attack": HOSTILE, "outcome": HOSTILE, "words": HOSTILE}],
        outcome=HOSTILE,
        status="failed",
    )
    found = page(database)
    assert "script" not in found.tags
    assert found.tags.count("style") == 1
    assert "alert(1)" in found.text
    assert "{{ 7*7 }}" in found.text
    assert not {"\x1b", "\u202e"} & set(found.text)
    assert "\\x1b[31m" in found.text
    assert not [
        name for tag, name, _ in found.attributes if name == "onerror" or (tag, name) == ("img", "onload")
    ]


def test_pictures_and_captions_stay_at_home_when_they_must(store_run: StoreRun) -> None:
    found = page(store_run(), Include(pictures=False, captions=False))
    assert "img" not in found.tags
    assert "a photo of" not in found.text
    assert "No picture" not in found.text


@pytest.mark.parametrize("name", list(Format))
def test_no_format_calls_a_sample_a_member(store_run: StoreRun, name: Format) -> None:
    document = rendered(gather(store_run(labelled=False), "run-a"), name).lower()
    assert "is a member" not in document
    assert "was a member" not in document


@pytest.mark.parametrize("name", list(Format))
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"labelled": False},
        {"labelled": False, "nonmembers": 0, "outcome": "inconclusive: no comparison set", "checks": []},
        {"nonmembers": 0},
        {"attacks": (), "outcome": None, "status": "failed", "error": "out of memory", "checks": []},
        {
            "attacks": (),
            "outcome": None,
            "status": "cancelled",
            "checks": [],
            "spec": None,
            "created_at": None,
        },
        {"outcome": None},
        {"outcome": "inconclusive: underpowered", "status": "failed", "skipped": {"wsa": "no general pool"}},
        {"outcome": "no evidence", "reference": True},
        {"outcome": "of a later version"},
    ],
)
def test_a_run_of_any_kind_has_a_report_in_any_format(
    store_run: StoreRun, name: Format, kind: dict[str, object]
) -> None:
    document = rendered(gather(store_run(**kind), "run-a"), name)
    assert not re.search(r"\bNone\b|\bnan\b|Undefined|Markup\(", document)
    if name == Format.JSON:
        json.loads(document)
    if name == Format.HTML:
        Page(document)


def test_a_run_that_failed_says_so_on_top(store_run: StoreRun) -> None:
    text = page(store_run(attacks=(), outcome=None, status="failed", error="out of memory", checks=[])).text
    assert "Verdict: none" in text
    assert "The run failed before there was anything to judge." in text
    assert "out of memory" in text


def test_a_group_without_labels_has_figures_of_its_own(store_run: StoreRun) -> None:
    text = page(store_run(labelled=False)).text
    for words in ("Candidates against known non-members", "12.5%", "0.0123", "survive FDR 10 %"):
        assert words in text
    assert "TPR at" not in text
    assert "labelled as" not in text


def test_markdown_has_the_same_words_and_no_markup_from_outside(store_run: StoreRun) -> None:
    database = store_run(captions=lambda number: f"{HOSTILE}{number}", architecture=HOSTILE)
    document = rendered(gather(database, "run-a"), Format.MD)
    assert not {"\x1b", "\u202e"} & set(document)
    outside_code = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", document)
    assert "<script" not in outside_code.replace("\\<", "")
    assert "onerror" not in re.sub(r"(?m)^# .*$", "", outside_code)
    for words in ("## Verdict: leak", "| csa ", "0.740 (0.610 to 0.840)", "## Most exposed samples"):
        assert words in document


@given(st.text())
def test_code_in_markdown_can_not_be_ended_from_within(text: str) -> None:
    shown = code(text)
    if shown == "(empty)":
        return
    (fence,) = re.findall(r"^`+", shown)
    inside = shown[len(fence) : -len(fence)]
    assert fence not in re.findall("`+", inside)
    assert "\n" not in shown


@given(st.text())
def test_plain_text_in_markdown_is_one_line_without_bare_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[|<>`\[\]*]", shown.replace("\\\\", ""))


def test_json_is_that_of_a_run_and_more(store_run: StoreRun) -> None:
    report = gather(store_run(), "run-a")
    document = json.loads(rendered(report, Format.JSON))
    run = json.loads(json.dumps(report.summary.document()))
    assert {key: document[key] for key in run} == run
    assert document["report"]["version"] == 1
    assert document["decided_by"] == "csa"
    assert document["exposed"][0]["caption"].startswith("a photo of")
    assert "picture" not in document["exposed"][0]
    assert document["model"]["weights_sha256"] == "5a" * 32
    assert "[pools.candidates]" in document["spec"]
    assert [pool["pool"] for pool in document["pools"]] == ["candidates", "nonmembers"]


def test_json_without_captions_has_none(store_run: StoreRun) -> None:
    document = rendered(gather(store_run(), "run-a", Include(captions=False)), Format.JSON)
    assert "a photo of" not in document


def test_the_format_is_that_of_the_name() -> None:
    assert format_of(Path("a.HTML")) == format_of(Path("b.htm")) == format_of(None) == Format.HTML
    assert format_of(Path("a.md")) == Format.MD
    assert format_of(Path("a.json")) == Format.JSON
    with pytest.raises(ExportError, match=r"a\.pdf: name a file that ends in"):
        format_of(Path("a.pdf"))


def test_a_report_is_written_whole_for_its_owner_and_never_over_another(
    store_run: StoreRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = gather(store_run(), "run-a")
    written = write_report(report, None, Format.MD)
    assert written == Path("run-a.md")
    assert written.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ExportError, match="--force"):
        write_report(report, None, Format.MD)
    assert write_report(report, None, Format.MD, overwrite=True) == written


def test_the_report_says_when_it_was_made(store_run: StoreRun) -> None:
    report = gather(store_run(), "run-a")
    assert abs((datetime.now(UTC) - report.made_at).total_seconds()) < 60
    assert f"{report.made_at:%Y-%m-%d %H:%M:%S} UTC" in rendered(report, Format.MD)
