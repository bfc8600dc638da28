"""The console's own process: its options come checked, as JSON, from ``patrol-lpr console``, which it replaces.

A process of its own, because the library of the command line takes ten megabytes that the page does not need.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from console.config import ConsoleConfig
from console.errors import ConsoleError
from console.serve import run_console
from protocol.notify import Notifier

_PATHS = frozenset({"feed", "command", "unix", "tls_cert", "tls_key"})
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from console.__main__ import main; main()"


def become_console(config: ConsoleConfig) -> NoReturn:
    """Replace this process by the console: same process id, nothing of the present program."""
    options = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}
    home = Path(__file__).resolve().parent.parent
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-c", _START, str(home), json.dumps(options)])  # noqa: S606 - our own


def main() -> None:
    """Serve until told to stop; our own errors become one line and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        run_console(_config(sys.argv[1]), _announce, notifier=Notifier())
    except ConsoleError as error:
        sys.stderr.write(f"patrol-lpr: {error}\n")
        sys.exit(1)


def _config(text: str) -> ConsoleConfig:
    options = json.loads(text)
    paths = {name: Path(options[name]) for name in _PATHS if options[name] is not None}
    return ConsoleConfig(**{**options, **paths, "names": tuple(options["names"])})


def _announce(address: str) -> None:
    sys.stderr.write(f"patrol-lpr: the console is at {address}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
