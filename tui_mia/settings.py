"""The user's settings: a TOML file in the platform's config folder.

Read at every start of the terminal app, which also remembers the theme in it,
and whenever a run has been saved; comments and keys of other hands stay when it is written.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from platformdirs import user_config_path

Images: TypeAlias = Literal["auto", "kitty", "sixel", "halfcell", "off"]


class SettingsError(Exception):
    """The settings can't be used as they are written; the message says which key and why."""


@dataclass(frozen=True)
class Settings:
    """What a user can choose.

    `images` says how pictures are drawn: half cells work everywhere, the others
    need a terminal that can and the extra `tui-mia[images]`. `embeddings_limit_gb`
    is how many gigabytes the finished runs of a database may keep of embeddings,
    so that later runs need not encode again. `keymap` gives keys to binding ids,
    as `tui-mia config --keys` lists them.
    """

    theme: str = "textual-dark"
    images: Images = "auto"
    mouse: bool = True
    bell: bool = True
    embeddings_limit_gb: float = 50
    keymap: Mapping[str, str] = field(default_factory=dict)


KEYS: Final = tuple(item.name for item in fields(Settings))


def settings_path() -> Path:
    """Where the settings are, whether or not there are any yet."""
    return user_config_path("tui-mia") / "settings.toml"


def load_settings(path: Path | None = None) -> Settings:
    """The settings of the file; the defaults where there is none.

    Raises:
        SettingsError: for a file that can't be read, an unknown key or a wrong value.
    """
    path = path or settings_path()
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as error:  # not only what is no UTF-8 and no TOML
        raise SettingsError(f"{path}: can't be read: {error}") from None
    for key, value in written.items():
        if problem := _problem(key, value):
            raise SettingsError(f"{path}: {key}: {problem}")
    return Settings(**written)


def remember_theme(theme: str, path: Path | None = None) -> None:
    """Write the theme into the file, and leave the rest of it as it is.

    Raises:
        SettingsError: if that can't be done.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = path or settings_path()
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
        if document.get("theme") == theme:
            return
        document["theme"] = theme
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
        os.replace(temporary, path)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{path}: the theme can't be remembered: {error}") from None


def _problem(key: str, value: object) -> str | None:
    """What is wrong with a setting, if anything is."""
    match key:
        case "theme":
            return None if isinstance(value, str) else "must be a text"
        case "images":
            kinds = get_args(Images)
            return None if value in kinds else f"must be one of {', '.join(kinds)}, not {value!r}"
        case "mouse" | "bell":
            return None if isinstance(value, bool) else "must be true or false"
        case "embeddings_limit_gb":
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
                return None
            return "must be a number of gigabytes, 0 or more"
        case "keymap":
            if isinstance(value, dict) and all(isinstance(keys, str) for keys in value.values()):
                return None
            return 'must be a table of keys by binding id, such as "runs.cancel" = "x"'
        case _:
            return f"unknown key; known are {', '.join(KEYS)}"
