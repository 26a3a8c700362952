"""What is in a folder, and what a typed path may become; names may be anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_mia.tui.panes.audit.listing import common_start, complete_path, list_folder

NAMES = ["[x].csv", "\x1b]2;PWNED\x07", "new\nline", "it's $HOME", os.fsdecode(b"\xff.csv")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Beta.csv", "alpha.tar", ".hidden"):
        (tmp_path / name).write_text("12345")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.csv").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    return tmp_path


def test_folders_come_first_and_a_link_to_nowhere_is_a_file(folder: Path) -> None:
    listed = [(entry.name, entry.is_folder, entry.size) for entry in list_folder(folder)]
    assert listed == [
        ("sub", True, 0),
        (".hidden", False, 5),
        ("alpha.tar", False, 5),
        ("Beta.csv", False, 5),
        ("nowhere", False, 0),
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["sub/", "alpha.tar", "Beta.csv", "nowhere"]),
        ("a", ["alpha.tar"]),
        ("b", ["Beta.csv"]),
        (".", [".hidden"]),
        ("sub", ["sub/"]),
        ("sub/", ["sub/deep.csv"]),
        ("./sub/d", ["./sub/deep.csv"]),
        ("gone/", []),
        ("alpha.tar/", []),
        ("\0/", []),
        ("~nobody-of-this-name/", []),
    ],
)
def test_a_path_goes_on_as_it_was_begun(folder: Path, typed: str, found: list[str]) -> None:
    assert complete_path(typed, folder) == found


def test_absolute_paths_and_the_home_folder_are_completed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete_path(f"{folder}/al", Path("/")) == [f"{folder}/alpha.tar"]
    assert "/tmp/" in complete_path("/tm", folder)
    monkeypatch.setenv("HOME", str(folder))
    assert complete_path("~/al", Path("/")) == ["~/alpha.tar"]
    assert complete_path("~", Path("/"))[0] == "~/sub/"


def test_what_is_not_wanted_is_left_out(folder: Path) -> None:
    assert complete_path("", folder, lambda entry: entry.is_folder) == ["sub/"]


def test_names_are_given_as_they_are(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).touch()
    assert sorted(complete_path("", tmp_path)) == sorted(NAMES)


@given(st.lists(st.text(max_size=5), max_size=5))
def test_the_common_start_is_the_longest(texts: list[str]) -> None:
    start = common_start(texts)
    assert all(text.startswith(start) for text in texts)
    longer = {text[: len(start) + 1] for text in texts}
    assert not texts or len(longer) > 1 or start in texts
