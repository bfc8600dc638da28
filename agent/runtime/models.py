"""Where the shipped model bundles lie."""

from __future__ import annotations

from pathlib import Path

from agent.errors import BundleError


def default_models_folder() -> Path:
    """The models inside the installed package, or beside it in a checkout.

    Raises BundleError when neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "models", package.parent / "models"):
        if (folder / "active.toml").is_file():
            return folder
    raise BundleError(f"no models beside {package}; reinstall patrol-lpr or set recognise.models")
