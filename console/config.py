"""Options of the console, checked before it listens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from console.errors import ConsoleConfigError

FEED_SOCKET = Path("/run/patrol-lpr/feed.sock")
COMMAND_SOCKET = Path("/run/patrol-lpr-console/command.sock")
DEFAULT_PORT = 8470
LOOPBACK = "127.0.0.1"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """Where the console listens and which agent it belongs to."""

    feed: Path = FEED_SOCKET
    command: Path = COMMAND_SOCKET
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    unix: Path | None = None
    """Listen on this UNIX socket instead of a port, for a proxy that has the certificate."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    names: tuple[str, ...] = ()
    """Further host names under which browsers reach it."""
    sign_on_required: bool | None = None
    """Nothing with a plate is shown before an officer has signed on; None: only beyond loopback."""

    def __post_init__(self) -> None:
        """Raise ConsoleConfigError for a combination that would expose plates."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConsoleConfigError("--tls-cert and --tls-key belong together: give both")
        if self.unix is not None and not self.names:
            raise ConsoleConfigError("--unix is for a proxy: give --name with the host name that browsers use")
        if self.unix is None and not self.is_loopback and not self.uses_tls:
            raise ConsoleConfigError(
                f"{self.host} is not a loopback address: give --tls-cert and --tls-key, or listen on {LOOPBACK}"
            )

    @property
    def uses_tls(self) -> bool:
        """True if it has a certificate."""
        return self.tls_cert is not None

    @property
    def is_loopback(self) -> bool:
        """True if nobody outside this machine can connect."""
        if self.unix is not None:
            return False
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_sign_on(self) -> bool:
        """True if plates are only shown to somebody who has signed on."""
        return not self.is_loopback if self.sign_on_required is None else self.sign_on_required

    @property
    def scheme(self) -> str:
        """What browsers use: a proxy has a certificate of its own."""
        return "https" if self.uses_tls or self.unix is not None else "http"

    def hosts(self, port: int) -> frozenset[str]:
        """Values of the ``Host`` header that it accepts; anything else is a page of a stranger (DNS rebinding)."""
        if self.unix is not None:
            return frozenset(self.names)
        own = (LOOPBACK, "localhost", "[::1]") if self.is_loopback else (_bracketed(self.host),)
        named = frozenset({*self.names, *own})
        with_port = frozenset(f"{name}:{port}" for name in named)
        return with_port | named if port == _DEFAULT_PORTS[self.scheme] else with_port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
