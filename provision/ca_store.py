"""The authority's database: tokens, certificates, revocations; one SQLite file next to the authority's key."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from protocol.wire.topics import check_unit
from provision.errors import ProvisionError
from provision.pki import (
    CRL,
    UNIT_DAYS,
    crl_expires,
    load_authority,
    revocations,
    serial_of,
    sign_request,
    write_private,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

BOOKS = "books.db"
UNITS = "units"
RESERVED = re.compile(
    r"(station|broker|enrol|server|authority|receipt|release)s?([_-].*|\d*)|ca|root|admin|all|any", re.IGNORECASE
)
"""Common names that mean something to people or to servers: no new unit gets one."""
_PRIVILEGED = frozenset({"station"})
"""Common names to which the shipped access list gives rights over all units: no unit ever has one."""
_TOKEN_BYTES = 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
  hash BLOB PRIMARY KEY, unit TEXT NOT NULL, expires_s INTEGER NOT NULL, used_by BLOB, used_s INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS certificates (
  serial TEXT PRIMARY KEY, unit TEXT NOT NULL, request BLOB NOT NULL, pem BLOB NOT NULL,
  issued_s INTEGER NOT NULL, revoked_s INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS certificates_unit ON certificates (unit);
"""


class EnrolmentRefusedError(ProvisionError):
    """The request is refused: token or certificate is not valid for it."""


def _check_not_privileged(unit: str) -> None:
    if unit.lower() in _PRIVILEGED:
        raise ProvisionError(
            f"{unit}: reserved; a certificate of this name has the rights of a station: use another id"
        )


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One issued certificate."""

    unit: str
    serial: str
    issued_s: int
    revoked_s: int | None


class CaStore:
    """Opens the file for each operation: the enrolment server and the command line share it."""

    def __init__(self, folder: Path) -> None:
        """Raises ProvisionError if `folder` contains no authority."""
        self._folder = folder
        self._authority = load_authority(folder)

    @property
    def ca_pem(self) -> bytes:
        """The certificate that units trust."""
        return self._authority.pem

    def new_token(self, unit: str, *, expires_s: int) -> str:
        """Create a single-use token for one unit; only its hash is stored.  Earlier unused tokens become invalid.

        Raises ProvisionError for a reserved id, see :meth:`check_name`.
        """
        self.check_name(unit)
        token = secrets.token_hex(_TOKEN_BYTES)
        with self._open() as con:
            con.execute("UPDATE tokens SET expires_s = 0 WHERE unit = ? AND used_by IS NULL", (unit,))
            con.execute("INSERT INTO tokens VALUES (?, ?, ?, NULL, NULL)", (_hash(token), unit, expires_s))
        return token

    def check_name(self, unit: str) -> None:
        """Raise ProvisionError for an id that no new unit may have.

        Reserved ids, those that begin like an option, and those that differ from another one only in case.  A unit that
        has been enrolled with such an id keeps it.
        """
        _check_not_privileged(check_unit(unit))
        known = {row.unit for row in self.listing()}
        if unit in known:
            return
        if RESERVED.fullmatch(unit):
            raise ProvisionError(f"{unit}: reserved for stations, servers and their keys: use another id")
        if unit.startswith("-"):
            raise ProvisionError(f"{unit}: begins like an option of a command: use another id")
        alike = next((other for other in sorted(known) if other.lower() == unit.lower()), None)
        if alike is not None:
            raise ProvisionError(
                f"{unit}: there is a unit {alike}, which people would take for it: use another id"
            )

    def check_free(self, unit: str) -> None:
        """Raise ProvisionError for an id with a valid certificate: two units with one identity lose reads."""
        live = [row for row in self.listing() if row.unit == unit and row.revoked_s is None]
        if live:
            raise ProvisionError(
                f"{unit} is already enrolled: use another id; if that board is lost, run `patrol-lpr provision revoke`"
                " first; --again creates a new card for the same board"
            )

    def knows(self, unit: str) -> bool:
        """True for an id that has, or ever had, a card or a certificate."""
        with self._open() as con:
            row = con.execute(
                "SELECT 1 FROM tokens WHERE unit = ?1 UNION SELECT 1 FROM certificates WHERE unit = ?1", (unit,)
            ).fetchone()
        return row is not None

    def enrol(self, unit: str, token: str, request: bytes, signing_pem: bytes, *, now: dt.datetime) -> bytes:
        """Sign a request against a token; return the certificate, PEM.

        A unit that lost power before it stored the answer repeats the same request and gets the same
        certificate.  Raises EnrolmentRefusedError or ProvisionError.
        """
        now_s, asked = int(now.timestamp()), hashlib.sha256(request).digest()
        with self._open() as con:
            row = con.execute(
                "SELECT unit, expires_s, used_by FROM tokens WHERE hash = ?", (_hash(token),)
            ).fetchone()
            # One answer for every reason: a guesser learns nothing.
            if row is None or not hmac.compare_digest(row[0], unit) or now_s > row[1]:
                raise EnrolmentRefusedError("the token is unknown, expired or for another unit: create a new card")
            if row[2] is not None and row[2] != asked:
                raise EnrolmentRefusedError(
                    "the token was already used with another key: if that was not this unit, revoke it; "
                    "create a new card"
                )
            if row[2] is not None:
                found = con.execute("SELECT pem FROM certificates WHERE request = ?", (asked,)).fetchone()
                return bytes(found[0])
            pem = self._give(con, unit, request, now)
            con.execute("UPDATE tokens SET used_by = ?, used_s = ? WHERE hash = ?", (asked, now_s, _hash(token)))
            self._keep_signing_key(unit, signing_pem)
        return pem

    def renew(self, unit: str, shown: bytes | None, request: bytes, *, now: dt.datetime) -> bytes:
        """Sign a request of a unit authenticated with its current certificate (DER); return the new one, PEM.

        The same request gets the same answer.  Raises EnrolmentRefusedError or ProvisionError.
        """
        if shown is None:
            raise EnrolmentRefusedError("a renewal needs the current certificate")
        old = x509.load_der_x509_certificate(shown)
        asked = hashlib.sha256(request).digest()
        with self._open() as con:
            row = con.execute(
                "SELECT unit, revoked_s FROM certificates WHERE serial = ?", (f"{old.serial_number:x}",)
            ).fetchone()
            if row is None or row[0] != unit or row[1] is not None:
                raise EnrolmentRefusedError("the certificate is unknown, revoked, or another unit's")
            found = con.execute(
                "SELECT pem FROM certificates WHERE request = ? AND unit = ?", (asked, unit)
            ).fetchone()
            if found is not None:
                return bytes(found[0])
            return self._give(con, unit, request, now)

    def _give(self, con: sqlite3.Connection, unit: str, request: bytes, now: dt.datetime) -> bytes:
        """Sign and record a certificate.

        Reserved ids are refused when a token is made: a unit that already has one must be able to renew.
        """
        _check_not_privileged(unit)
        pem = sign_request(self._authority, request, unit, days=UNIT_DAYS, now=now)
        con.execute(
            "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, NULL)",
            (f"{serial_of(pem):x}", unit, hashlib.sha256(request).digest(), pem, int(now.timestamp())),
        )
        return pem

    def _keep_signing_key(self, unit: str, pem: bytes) -> None:
        """Earlier keys are kept: what they signed must remain verifiable."""
        folder = self._folder / UNITS
        folder.mkdir(exist_ok=True)
        known = sorted(folder.glob(f"unit-{unit}.pub")) + sorted(folder.glob(f"unit-{unit}.*.pub"))
        if any(path.read_bytes() == pem for path in known):
            return
        name = f"unit-{unit}.pub" if not known else f"unit-{unit}.{len(known) + 1}.pub"
        write_private(folder / name, pem)

    def revoke(self, unit: str, *, now: dt.datetime) -> int:
        """Revoke all certificates of a unit and write a new CRL; return their number.  The broker must reload it."""
        if not self.knows(unit):
            raise ProvisionError(
                f"{unit}: no certificate and no card was ever issued for it; nothing was changed; "
                "`patrol-lpr provision list` shows the units"
            )
        with self._open() as con:
            done = con.execute(
                "UPDATE certificates SET revoked_s = ? WHERE unit = ? AND revoked_s IS NULL",
                (int(now.timestamp()), unit),
            ).rowcount
            con.execute("UPDATE tokens SET expires_s = 0 WHERE unit = ?", (unit,))
            self._write_crl(con, now)
        return done

    def write_crl(self, *, now: dt.datetime) -> dt.datetime:
        """Write the CRL again, with the same certificates; return the time at which it expires."""
        with self._open() as con:
            self._write_crl(con, now)
        return crl_expires(now)

    def _write_crl(self, con: sqlite3.Connection, now: dt.datetime) -> None:
        serials = [row[0] for row in con.execute("SELECT serial FROM certificates WHERE revoked_s IS NOT NULL")]
        write_private(self._folder / CRL, revocations(self._authority, [int(s, 16) for s in serials], now=now))

    def listing(self) -> list[Enrolled]:
        """All issued certificates, by unit and time."""
        with self._open() as con:
            rows = con.execute(
                "SELECT unit, serial, issued_s, revoked_s FROM certificates ORDER BY unit, issued_s"
            )
            return [Enrolled(*row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        con = sqlite3.connect(self._folder / BOOKS, isolation_level=None, timeout=10)
        try:
            con.execute("PRAGMA synchronous = FULL")
            con.executescript(_SCHEMA)
            con.execute("BEGIN IMMEDIATE")
            yield con
            con.execute("COMMIT")
        except sqlite3.Error as error:
            raise ProvisionError(f"{self._folder / BOOKS}: {error}; check the disk") from error
        finally:
            con.close()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.strip().lower().encode()).digest()
