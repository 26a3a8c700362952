"""What a fresh process has loaded: import-linter can't see a deferred import, this can."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tui_mia.tui.pane import PANES

HEAVY = {"torch", "torchvision", "open_clip", "sklearn", "scipy", "timm"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after `code`."""
    listing = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(listing.stdout.splitlines()[-1].split())


def test_help_loads_neither_the_engine_nor_the_database_nor_the_spec() -> None:
    code = (
        "import tui_mia.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(tui_mia.cli.app, ['--help']).exit_code == 0"
    )
    assert not loaded_by(code) & (HEAVY | {"duckdb", "pyarrow", "textual"})


@pytest.mark.parametrize(
    "module",
    ["spec", "runs", "store", "landing", "board", "display", "headless", "demo", "preflight", "report"],
)
def test_what_front_ends_use_never_loads_the_engine(module: str) -> None:
    assert not loaded_by(f"import tui_mia.{module}") & HEAVY


@pytest.mark.parametrize("module", ["spec", "runs", "pools"])
def test_only_the_store_loads_duckdb(module: str) -> None:
    assert "duckdb" not in loaded_by(f"import tui_mia.{module}")


@pytest.mark.parametrize("module", ["spec", "runs"])
def test_what_runs_are_is_known_without_loading_tables(module: str) -> None:
    assert not loaded_by(f"import tui_mia.{module}") & {"pyarrow", "numpy"}


@pytest.mark.parametrize(
    "module", ["spec", "runs", "pools", "pools.find", "pools.preview", "storage", "board"]
)
def test_nothing_of_a_store_is_loaded_before_a_url_is_named(module: str) -> None:
    assert not loaded_by(f"import tui_mia.{module}") & {"fsspec", "aiohttp", "s3fs", "botocore", "gcsfs"}


def test_a_spec_that_names_a_url_is_read_without_loading_anything_of_a_store() -> None:
    code = (
        "from pathlib import Path\n"
        "from tui_mia.spec import check_document\n"
        "pools = {'candidates': {'source': 's3://bucket/{0..9}.tar'}}\n"
        "check_document({'model': {'architecture': 'a', 'pretrained': 'b'}, 'pools': pools}, Path.cwd(), 'a')"
    )
    assert not loaded_by(code) & {"fsspec", "aiohttp", "s3fs", "botocore", "gcsfs"}


def test_pools_pass_images_through_as_bytes() -> None:
    assert not loaded_by("import tui_mia.pools") & (HEAVY | {"PIL"})


def test_an_app_that_only_reads_never_loads_arrow() -> None:
    panes = ", ".join(f"tui_mia.tui.panes.{name}" for name in PANES if name != "sql")
    assert "pyarrow" not in loaded_by(f"import tui_mia.board, {panes}")
