"""The folder of the shipped model bundles."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.errors import BundleError


def default_models_folder() -> Path:
    """Return the models of an update, of the installed package, or of the checkout.

    Raises BundleError if there are none.
    """
    package = Path(__file__).resolve().parent.parent
    # On a unit this program's environment is HOME/code/N; HOME/current is the release that runs.
    code = Path(sys.prefix)
    updated: tuple[Path, ...] = (code.parent.parent / "current" / "models",) if code.parent.name == "code" else ()
    for folder in (*updated, package / "models", package.parent / "models"):
        if (folder / "active.toml").is_file():
            return folder
    raise BundleError(f"no models beside {package}; reinstall patrol-lpr or set recognise.models")
