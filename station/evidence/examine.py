"""Verifies an evidence package without the station: the same checks as ``verify.js``, in Python.

A package is a stranger's file: whatever is in it, the result is a list of findings or a PackageError.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protocol.errors import EntryError, KeyFileError, WireError
from protocol.merkle.entry import decode_entry
from protocol.merkle.tree import is_included, leaf_hash
from protocol.seal.evidence import Evidence, digest_of
from protocol.seal.keys import VerifyKey, fingerprint
from protocol.wire.codec import unpack
from station.errors import StationError
from station.evidence.package import FORMAT, PREFIX, key_line, text_hash
from station.evidence.page_parts import MAX_PAGE_BYTES, read_page
from station.evidence.values import MISSING, at, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from station.evidence.page_parts import PageParts

PAGE_NAME = "evidence.html"
_KEYS_NAME = "proof/keys.txt"
_MAX_MEMBERS = 4_096
_BAD_CONTENTS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    WireError,
    KeyFileError,
    EntryError,
    RecursionError,
)


class PackageError(StationError):
    """The file is no evidence package, or is too large."""


@dataclass(slots=True)
class PackageFindings:
    """Result of the verification."""

    unit: str = ""
    record_id: str = ""
    records: int = 0
    pictures: int = 0
    problems: list[str] = field(default_factory=list)
    station: str = ""
    """Fingerprint of the station's key that signed the export; empty if none did."""
    keys: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the units' keys in the package."""
    keys_given: bool = False
    in_log: bool = False

    @property
    def is_right(self) -> bool:
        """True if nothing was altered."""
        return not self.problems


@dataclass(slots=True)
class _Record:
    about: str
    evidence: Evidence
    fields: dict[str, Any]
    payload: bytes
    holds: bool

    @property
    def name(self) -> str:
        return f"{self.about} (record {self.evidence.seq} of {self.evidence.unit})"


def is_package(head: bytes) -> bool:
    """True for the first bytes of a page or an archive."""
    return head.startswith(b"PK\x03\x04") or head.lower().startswith(b"<!doctype html")


def examine_package(data: bytes, trusted: Mapping[str, Iterable[VerifyKey]] | None = None) -> PackageFindings:
    """Verify a page or an archive; with ``trusted`` by these keys of units alone.  Raises PackageError."""
    if len(data) > MAX_PAGE_BYTES:
        raise PackageError(f"larger than {MAX_PAGE_BYTES >> 20} MiB: this is no evidence package")
    if not data.startswith(b"PK"):
        return _Examination(_text(data), trusted).run()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        zlib.error,
    ) as error:
        raise PackageError(f"the archive is damaged: {error}") from error
    if PAGE_NAME not in members:
        raise PackageError(f"there is no {PAGE_NAME} in the archive")
    examination = _Examination(_text(members[PAGE_NAME]), trusted)
    found = examination.run()
    examination.compare(members)
    return found


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS or sum(info.file_size for info in infos) > MAX_PAGE_BYTES:
        raise PackageError("the archive is too large: this is no evidence package")
    return {info.filename: archive.read(info) for info in infos}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PackageError("the page is not UTF-8: this is no evidence package") from error


class _Examination:
    def __init__(self, text: str, trusted: Mapping[str, Iterable[VerifyKey]] | None) -> None:
        self._page: PageParts = read_page(text)
        self._told_text = self._page.scripts.get("package", "")
        try:
            self._told: dict[str, Any] = json.loads(self._told_text)
            is_ours = self._told.get("v") == FORMAT
        except (ValueError, AttributeError, RecursionError):
            is_ours = False
        if not is_ours:
            raise PackageError("there is no evidence package in this page")
        self._trusted = trusted
        self._found = PackageFindings(keys_given=trusted is not None)
        self._records: list[_Record] = []
        self._used: set[str] = set()
        """Lines of the keys that records were found signed by."""

    def run(self) -> PackageFindings:
        found = self._found
        found.unit, found.record_id = str(self._told.get("unit")), str(self._told.get("id"))
        for check in (self._read_records, self._values, self._pictures, self._story, self._text, self._log):
            self._guarded(check)
        found.records, found.pictures = len(self._records), len(self._page.pictures)
        return found

    def compare(self, members: Mapping[str, bytes]) -> None:
        """Compare the files of the archive with the page."""

        def archive() -> None:
            self._compare(members)

        self._guarded(archive)

    def _compare(self, members: Mapping[str, bytes]) -> None:
        wanted = {
            one["file"]: self._records[n].payload
            for n, one in enumerate(self._told["records"][: len(self._records)])
        }
        by_hash = {claimed: _data(source) for claimed, _, source in self._page.pictures}
        wanted |= {
            one["file"]: by_hash.get(one["sha256"], b"") for one in self._told["pictures"] if one.get("there")
        }
        wanted["proof/package.json"] = self._told_text.encode()
        wanted[_KEYS_NAME] = "".join(
            key_line(told["unit"], _b64(told["key"])) for told in self._told["keys"]
        ).encode()
        for name, data in wanted.items():
            self._check(members.get(name) == data, f"Altered file in the archive, or it is missing: {name}")
        named = members.get(_KEYS_NAME, b"").decode(errors="replace").splitlines(keepends=True)
        for line in sorted(self._used):
            self._check(
                line in named, f"{_KEYS_NAME} does not name the key that the records hold with: {line.strip()}"
            )

    def _guarded(self, check: Callable[[], None]) -> None:
        try:
            check()
        except _BAD_CONTENTS as error:
            self._found.problems.append(
                f"The package cannot be read: {type(error).__name__} in {check.__name__.strip('_')}"
            )

    def _check(self, holds: bool, problem: str) -> None:
        if not holds and problem not in self._found.problems:
            self._found.problems.append(problem)

    def _keys(self) -> dict[str, list[VerifyKey]]:
        enclosed: dict[str, list[VerifyKey]] = {}
        for told in self._told["keys"]:
            key = VerifyKey.from_raw(_b64(told["key"]))
            enclosed.setdefault(told["unit"], []).append(key)
            self._found.keys[told["unit"]] = fingerprint(key.raw)
        if self._trusted is None:
            return enclosed
        return {unit: list(keys) for unit, keys in self._trusted.items()}

    def _read_records(self) -> None:
        keys = self._keys()
        for told in self._told["records"]:
            payload, salt = _b64(told["record"]), _b64(told["salt"])
            unit, seq = told["unit"], int(told["seq"])
            evidence = Evidence(
                unit,
                seq,
                _b64(told["prev"]),
                digest_of(salt, payload),
                bytes.fromhex(told["key_id"]),
                _b64(told["signature"]),
            )
            fields = unpack(payload)
            signers = [key for key in keys.get(unit, ()) if evidence.is_signed_by(key)]
            self._used |= {key_line(unit, key.raw) for key in signers}
            holds = bool(signers) and fields.get("dev") == unit and fields.get("seq") == seq
            record = _Record(str(told["about"]), evidence, fields, payload, holds)
            self._records.append(record)
            self._check(holds, f"Altered record, or not signed by its unit: {record.name}")
        self._check(bool(self._records), "There is no record")

    def _values(self) -> None:
        for cell in self._page.cells:
            record = self._records[int(cell.record)]
            value = at(record.fields, cell.path)
            text = None if value is MISSING else written(value, cell.form)
            self._check(cell.text == text, f'Altered text: "{cell.label}" of {record.name}')

    def _pictures(self) -> None:
        listed = {
            picture["sha"].hex()
            for record in self._records
            if record.holds
            for picture in record.fields.get("img", ())
        }
        for claimed, name, source in self._page.pictures:
            sha = hashlib.sha256(_data(source)).hexdigest()
            self._check(sha == claimed and sha in listed, f"Altered picture: {name}")
        shown = {claimed for claimed, _, _ in self._page.pictures}
        self._check(
            all(p["sha256"] in shown for p in self._told["pictures"] if p["there"]), "A picture is missing"
        )

    def _story(self) -> None:
        of = {schema: [r for r in self._records if r.fields.get("v") == schema] for schema in ("read/1", "hit/1")}
        reads, hits = of["read/1"], of["hit/1"]
        for hit in hits:
            is_of = not reads or any(read.fields["id"] == hit.fields["rd"] for read in reads)
            self._check(is_of, f"Not of this read: {hit.name}")
        for decision in (r for r in self._records if r.fields.get("v") == "disposition/1"):
            is_of = any(hit.fields["hit"] == decision.fields["hit"] for hit in hits)
            self._check(is_of, f"Not of this hit: {decision.name}")
        known = {(r.evidence.unit, r.evidence.seq): r for r in self._records}
        for (unit, seq), record in known.items():
            before = known.get((unit, seq - 1))
            if before is not None:
                self._check(
                    record.evidence.prev == before.evidence.link,
                    f"Does not continue the record before it: {record.name}",
                )

    def _text(self) -> None:
        self._check(text_hash(self._page.main).hex() == self._told["main_sha256"], "Altered text on this page")
        for name, wanted in self._told["files"].items():
            found = hashlib.sha256(_data(self._page.sources.get(name, ""))).hexdigest()
            self._check(found == wanted, f"Altered part of the page: {name}")
        signature = self._page.scripts.get("signature", "").strip()
        if self._told["station_key"] is None:
            self._check(not signature, "A signature of a station without a key")
            return
        station = VerifyKey.from_raw(_b64(self._told["station_key"]))
        self._found.station = fingerprint(station.raw)
        holds = station.is_signed(_b64(signature), PREFIX + self._told_text.encode())
        self._check(holds, "Altered signature of the station, or altered contents of the export")

    def _log(self) -> None:
        log = self._told["log"]
        if log is None:
            return
        self._found.in_log = True
        leaf, path, root = (
            _b64(log["leaf"]),
            [bytes.fromhex(step) for step in log["path"]],
            bytes.fromhex(log["root"]),
        )
        holds = is_included(leaf_hash(leaf), int(log["index"]), int(log["size"]), path, root)
        entry = decode_entry(leaf)
        is_this = (
            f"id={self._told['id']}" in entry.filter.split() and entry.case_number == self._told["case_number"]
        )
        self._check(holds and is_this, "The proof that this export is in the station's log does not hold")


def _b64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _data(source: str) -> bytes:
    """Return the bytes of a data URL; none if it is not one."""
    head, comma, data = source.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return b""
    try:
        return _b64(data)
    except ValueError:
        return b""
