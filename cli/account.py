"""Who runs a command, for audit trails."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

from station.asker import Asker

_LOGIN = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1


def operator_name() -> str:
    """Return the account of the process, which its environment cannot change; behind sudo, also whose login it is."""
    uid = os.getuid()
    login = _login_uid()
    name = _account(uid)
    return name if login is None or login == uid else f"{name} (login {_account(login)})"


def operator(purpose: str | None = None, case_number: str | None = None) -> Asker:
    """Return who asks a station: the account of the process.  Raises PurposeError."""
    return Asker(operator_name(), (purpose or "").strip(), (case_number or "").strip())


def _login_uid() -> int | None:
    """The kernel's record of who logged in; None where there is none, such as in a container or a service."""
    with suppress(OSError, ValueError):
        uid = int(_LOGIN.read_text(encoding="ascii"))
        return None if uid == _UNSET else uid
    return None


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
