"""Settings: what is written is used or refused, and what others wrote stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_mia.settings import Settings, SettingsError, load_settings, remember_theme, settings_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def test_without_a_file_the_defaults_hold(path: Path) -> None:
    assert load_settings(path) == Settings()


def test_the_file_is_in_the_folder_for_settings_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_path() == tmp_path / "tui-mia" / "settings.toml"


def test_every_setting_is_read(path: Path) -> None:
    path.write_text(
        'theme = "nord"\nimages = "off"\nmouse = false\nbell = false\nembeddings_limit_gb = 2\n'
        '[keymap]\n"runs.cancel" = "f12"\n'
    )
    assert load_settings(path) == Settings("nord", "off", False, False, 2, {"runs.cancel": "f12"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theme = 3", "theme: must be a text"),
        ('images = "ascii"', "images: must be one of auto, kitty, sixel, halfcell, off, not 'ascii'"),
        ('mouse = "no"', "mouse: must be true or false"),
        ("keymap = 1", "keymap: must be a table"),
        ("embeddings_limit_gb = true", "embeddings_limit_gb: must be a number of gigabytes, 0 or more"),
        ("embeddings_limit_gb = -1", "embeddings_limit_gb: must be a number of gigabytes, 0 or more"),
        ("embeddings_limit_gb = nan", "embeddings_limit_gb: must be a number of gigabytes, 0 or more"),
        ('embeddings_limit_gb = "50"', "embeddings_limit_gb: must be a number of gigabytes, 0 or more"),
        ("them = 1", "them: unknown key; known are theme, images, mouse, bell, embeddings_limit_gb, keymap"),
        ("theme", "can't be read"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(path)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


def test_remembering_the_theme_keeps_comments_and_other_keys(path: Path) -> None:
    path.write_text('# mine\nmouse = false  # tmux has it\ntheme = "nord"\n')
    remember_theme("gruvbox", path)
    assert path.read_text() == '# mine\nmouse = false  # tmux has it\ntheme = "gruvbox"\n'


def test_remembering_the_theme_makes_the_file(path: Path) -> None:
    remember_theme("nord", path.parent / "new" / path.name)
    assert load_settings(path.parent / "new" / path.name).theme == "nord"


def test_a_file_that_is_no_toml_is_not_written_over(path: Path) -> None:
    path.write_text("theme =")
    with pytest.raises(SettingsError):
        remember_theme("nord", path)
    assert path.read_text() == "theme ="
