"""How the web application is reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from station.errors import WebError

TRUSTED = Path("/etc/patrol-lpr/trusted")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Address and names.  Beyond loopback it serves TLS, and every account has a second factor."""

    host: str = "127.0.0.1"
    port: int = 8480
    names: tuple[str, ...] = ()
    """Host names by which browsers reach it, such as those of a proxy; beside its own address."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    station: str = "station"
    """Shown on every page, and by authenticators."""
    map_tiles: Path | None = None
    """The agency's own map, a PMTiles file."""

    trusted: Path = TRUSTED
    """Folder with the public keys that sign lists, policies and releases: ``hotlist*.pub`` and so on."""

    def __post_init__(self) -> None:
        """Raises WebError for an address beyond loopback without TLS."""
        try:
            is_local = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError as error:
            raise WebError(f"{self.host!r} is no address to listen at: use an IP address") from error
        if (self.tls_cert is None) != (self.tls_key is None):
            raise WebError("give both the certificate and its key: --web-cert and --web-key")
        if not is_local and self.tls_cert is None:
            raise WebError(
                f"{self.host} can be reached by other machines: TLS is required, give --web-cert and --web-key"
            )

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls_cert is None else "https"

    @property
    def is_secure(self) -> bool:
        """True under TLS."""
        return self.tls_cert is not None

    def hosts(self, port: int) -> frozenset[str]:
        """Return the values of the Host header that are answered."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        local = () if self.is_secure else _LOCAL_NAMES
        return frozenset({f"{name}:{port}" for name in (own, *local, *self.names)} | set(self.names))
