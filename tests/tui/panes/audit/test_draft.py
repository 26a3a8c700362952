"""What was typed, as the document that TOML would have, and where its paths lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_mia.spec import SpecError, check_document, read_document, write_document
from tui_mia.tui.panes.audit.draft import Draft, saved_paths, typed_paths
from tui_mia.tui.panes.audit.spec_fields import SpecField, all_groups


def field(key: str) -> SpecField:
    return next(field for group in all_groups() for field in group.fields if field.key == key)


DOCUMENT: dict[str, Any] = {
    "model": {"architecture": "ViT-B-32", "pretrained": "laion2b"},
    "pools": {
        "candidates": {"source": ["a.csv", "b.csv"], "member": [True, False]},
        "bank": {"source": "c.csv"},
    },
    "reference": {"architecture": "ViT-L-14", "pretrained": "./weights"},
    "attacks": {"aea": {"views": 3}, "wsa": {"lambda": 1.5}},
    "evidence": {"smallest_auc": 0.7},
    "run": {"seed": 7},
}


def test_a_document_is_shown_and_given_back_as_it_was() -> None:
    draft = Draft(DOCUMENT)
    assert draft.document() == DOCUMENT
    assert draft.texts(field("pools.candidates.source")) == ["a.csv", "b.csv"]
    assert draft.texts(field("pools.candidates.member")) == ["true, false"]
    assert draft.texts(field("attacks.wsa.lambda")) == ["1.5"]
    assert draft.texts(field("attacks.aea.seed")) == [""]
    assert [draft.is_on(f"attacks.{name}") for name in ("csa", "aea", "wsa", "loss")] == [
        False,
        True,
        True,
        False,
    ]


def test_an_empty_draft_has_what_every_spec_has_and_asks_for_all_attacks() -> None:
    draft = Draft()
    assert draft.document() == {"model": {}, "pools": {"candidates": {}}}
    assert all(draft.is_on(f"attacks.{name}") for name in ("csa", "aea", "wsa", "loss"))
    assert not draft.is_on("pools.general")


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("pools.candidates.limit", "70", 70),
        ("pools.candidates.limit", " 70 ", 70),
        ("pools.candidates.limit", "7O", "7O"),
        ("pools.candidates.limit", "9" * 5000, "9" * 5000),
        ("attacks.wsa.lambda", "1.5", 1.5),
        ("attacks.wsa.lambda", "auto", "auto"),
        ("attacks.wsa.lambda", "nan", "nan"),
        ("pools.candidates.member", "label", "label"),
        ("pools.candidates.member", "true, false", [True, False]),
        ("pools.candidates.member", "[true]", [True]),
        ("pools.candidates.member", '"true"', "true"),
        ("pools.candidates.member", '"', '"'),
        ("pools.candidates.caption", "12", "12"),
        ("model.architecture", " ", " "),
    ],
)
def test_what_is_typed_stands_for_what_the_key_holds(key: str, typed: str, value: object) -> None:
    draft = Draft()
    draft.write(field(key), [typed])
    table, _, name = key.rpartition(".")
    written: Any = draft.document()
    for part in table.split("."):
        written = written[part]
    assert written[name] == value
    again = Draft(draft.document())
    again.write(field(key), again.texts(field(key)))
    assert again.document() == draft.document(), "what is shown stands for the same"


def test_one_source_is_a_text_and_several_are_a_list_and_none_is_no_key() -> None:
    draft, source = Draft(), field("pools.candidates.source")
    draft.write(source, ["a, b.csv", ""])
    assert draft.document()["pools"]["candidates"] == {"source": "a, b.csv"}
    draft.write(source, ["a.csv", "", "b.csv", ""])
    assert draft.document()["pools"]["candidates"] == {"source": ["a.csv", "b.csv"]}
    draft.write(source, ["", ""])
    assert draft.document()["pools"]["candidates"] == {}


def test_a_table_that_is_switched_off_is_left_out_and_comes_back_as_it_was() -> None:
    draft = Draft(DOCUMENT)
    for table in ("pools.bank", "attacks.aea", "reference"):
        draft.switch(table, False)
    assert "bank" not in draft.document()["pools"]
    assert "reference" not in draft.document()
    assert draft.document()["attacks"] == {"wsa": {"lambda": 1.5}}
    for table in ("pools.bank", "attacks.aea", "reference"):
        draft.switch(table, True)
    assert draft.document() == DOCUMENT


def test_to_say_something_of_one_attack_is_to_say_which_there_are() -> None:
    draft = Draft()
    draft.write(field("attacks.aea.views"), ["3"])
    assert draft.document()["attacks"] == {"csa": {}, "aea": {"views": 3}, "wsa": {}, "loss": {}}
    for name in ("csa", "aea", "wsa", "loss"):
        draft.switch(f"attacks.{name}", False)
    assert draft.document()["attacks"] == {}


def test_keys_that_no_spec_has_are_left_out_and_told() -> None:
    draft = Draft(
        {"model": {"devise": 1}, "pools": {"candidate": {}}, "attacks": {"cas": {"x": 1}}, "quux": {}}
    )
    assert sorted(draft.left_out) == ["attacks.cas", "model.devise", "pools.candidate", "quux"]
    assert draft.document() == {"model": {}, "pools": {"candidates": {}}, "attacks": {}}


@pytest.mark.parametrize("document", [{"pools": 3}, {"pools": {"general": []}}, {"model": "x"}])
def test_what_is_no_table_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="is not a table"):
        Draft(document)


def test_paths_are_typed_and_saved_relative_to_where_that_is(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    document = {
        "model": {"architecture": "local-dir:models/x"},
        "reference": {"architecture": "ViT-B-32", "pretrained": "./weights"},
        "pools": {"candidates": {"source": ["~/a.csv", "../b.csv", "/abs/c.csv", "deep/d.csv"]}},
    }
    saved = saved_paths(document, tmp_path, tmp_path / "deep" / "audit.toml")
    assert saved["model"] == {"architecture": f"local-dir:{tmp_path}/models/x"}
    assert saved["reference"]["pretrained"] == f"{tmp_path}/weights"
    assert saved["pools"]["candidates"]["source"] == [
        "~/a.csv",
        f"{tmp_path}/../b.csv",
        "/abs/c.csv",
        "d.csv",
    ]
    typed = typed_paths(saved, tmp_path / "deep", tmp_path)
    assert typed["model"] == {"architecture": "local-dir:models/x"}
    assert typed["reference"]["pretrained"] == "./weights"
    assert typed["pools"]["candidates"]["source"][3] == "deep/d.csv"
    assert saved_paths(document, tmp_path, tmp_path / "audit.toml") == document


def test_paths_that_a_file_has_already_stay_as_it_writes_them(tmp_path: Path) -> None:
    folder, path = tmp_path / "here", tmp_path / "audits" / "audit.toml"
    folder.mkdir()
    path.parent.mkdir()
    written = {"model": {"architecture": "x"}, "pools": {"candidates": {"source": "../here/a.csv"}}}
    write_document(written, path)
    typed = typed_paths(read_document(path), path.parent, folder)
    assert saved_paths(typed, folder, path) == written
    (folder / "a.csv").touch()
    assert check_document(typed, folder, "") == check_document(written, path.parent, "")
