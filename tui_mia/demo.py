"""The sample world: pairs and small models with known membership, shipped with the package."""

from __future__ import annotations

from pathlib import Path


def sample_world() -> Path:
    """The folder of the sample world: inside an installed package, or beside it in a checkout.

    Raises:
        FileNotFoundError: if it is in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "sample_data", package.parent / "sample_data"):
        if (folder / "audit.toml").is_file():
            return folder
    raise FileNotFoundError(f"the sample world is not where it should be, {package / 'sample_data'}")
