"""The page of an evidence package: one HTML file with text, pictures, map, proof, and the script that verifies it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from protocol.wire.codec import unpack
from station.evidence.certificate import certificate_lines
from station.evidence.outline import outline_map
from station.evidence.package import contents, key_line, sign_contents, text_hash
from station.evidence.page_parts import read_page
from station.evidence.values import at, printed, values_of, written

if TYPE_CHECKING:
    from protocol.seal.keys import SigningKey
    from station.evidence.package import EvidencePicture, Package, ProvedRecord
    from station.evidence.values import Value

_HIT_TEXT = (
    "The read matched an entry of a hot list. Each stage was recorded: preview while the plate was in view, then "
    "final, or withdrawn if the final text did not match."
)
_DECISION_TEXT = (
    "In the order in which it was recorded. Confirmed exists only with characters, state and vehicle compared with the "
    "pictures and the entry confirmed by the agency that made it."
)
_ANCHOR_TEXT = (
    "The unit did not know the time when it made the record. The station computed it from this time anchor of the same "
    "start of the unit."
)
_GROUPS = (
    ("read", "The read", "What the unit read, and how well it knew it. Probabilities are calibrated."),
    ("hit", "The hit", _HIT_TEXT),
    ("decision", "What officers decided", _DECISION_TEXT),
    ("anchor", "How the time was determined", _ANCHOR_TEXT),
)
_PICTURES = {"plate": "Picture of the plate", "overview": "Picture of the scene"}
_NO_LOG = "This export is in the station's audit trail. There is no inclusion proof in this package."


@dataclass(frozen=True, slots=True)
class _Shown:
    number: int
    title: str
    values: list[Value]


def render(package: Package, own: SigningKey | None, c2pa: str) -> str:
    """Return the page.  ``c2pa`` says whether the archive beside it has pictures with a C2PA manifest."""
    outline, place = _map_of(package)
    text = {
        "subject": "hit" if any(r.about == "hit" for r in package.records) else "read",
        "export": _export_rows(package),
        "pictures": [_picture(p, p.jpeg) for p in package.pictures if p.jpeg is not None],
        "missing": [_picture(p, b"") for p in package.pictures if p.jpeg is None],
        "c2pa": c2pa,
        "map": _b64(outline) if outline else "",
        "place": place,
        "groups": _groups(package),
        "proofs": [{"title": _title(r), "rows": _proof_rows(r)} for r in package.records],
        "unproved": package.unproved,
        "log": _NO_LOG
        if package.log is None
        else f"This export is entry {package.log['index']} of the station's log.",
        "certificate": certificate_lines(package),
    }
    main = read_page(_template().render(**text, **_code(), package="", signature="")).main
    told = contents(
        package,
        text_hash(main),
        {"map": hashlib.sha256(outline).digest()} if outline else {},
        None if own is None else own.public.raw,
    )
    signature = "" if own is None else sign_contents(told, own)
    page: str = _template().render(**text, **_code(), package=Markup(told), signature=signature)  # noqa: S704 - JSON without "<"
    return page


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("station.evidence", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2")


@cache
def _code() -> dict[str, Any]:
    """Script and style with the hashes that the page's policy names: nothing else runs in it."""
    here = resources.files("station.evidence")
    noble = here.joinpath("noble", "ed25519.js").read_text(encoding="utf-8")
    script = noble + here.joinpath("verify.js").read_text(encoding="utf-8")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    return {
        "script": Markup(script),  # noqa: S704 - a file of our own
        "style": Markup(style),  # noqa: S704 - as above
        "script_hash": _csp_hash(script),
        "style_hash": _csp_hash(style),
    }


def _csp_hash(text: str) -> str:
    return f"sha256-{_b64(hashlib.sha256(text.encode()).digest())}"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _export_rows(package: Package) -> list[tuple[str, str]]:
    export = package.export
    return [
        ("Exported by", printed(export.who)),
        ("Exported at", written(export.utc_us, "utc")),
        ("Case number", printed(export.case_number)),
        ("Purpose", printed(export.purpose)),
        ("Station", printed(export.station)),
    ]


def _picture(picture: EvidencePicture, jpeg: bytes | None) -> dict[str, str]:
    return {
        "kind": picture.kind,
        "alt": _PICTURES.get(picture.kind, "Picture"),
        "sha256": picture.sha256.hex(),
        "size": f"{picture.width_px} x {picture.height_px}",
        "data": _b64(jpeg or b""),
    }


def _map_of(package: Package) -> tuple[bytes, str]:
    """Return the map of the first record with a position, and its caption."""
    for record in package.records:
        fields = unpack(record.record)
        lat, lon, error_cm = (at(fields, f"gps.{name}") for name in ("lat", "lon", "acc_cm"))
        if isinstance(lat, int) and isinstance(lon, int):
            error = error_cm if isinstance(error_cm, int) else None
            bound = "of unknown accuracy" if error is None else f"± {written(error, 'centimetres')} (one sigma)"
            where = f"{written(lat, 'degrees')}, {written(lon, 'degrees')}, {bound}"
            return outline_map(lat / 1e7, lon / 1e7, None if error is None else error / 100), (
                f"Position of the unit, not of the vehicle that was read: {where}"
            )
    return b"", ""


def _groups(package: Package) -> list[dict[str, Any]]:
    shown = [
        (record.about, _Shown(n, _title(record), values_of(record.record)))
        for n, record in enumerate(package.records)
    ]
    return [
        {"title": title, "text": text, "records": [one for about, one in shown if about == name]}
        for name, title, text in _GROUPS
        if any(about == name for about, _ in shown)
    ]


def _title(record: ProvedRecord) -> str:
    return f"Record {record.evidence.seq} of {record.evidence.unit}"


def _proof_rows(record: ProvedRecord) -> list[tuple[str, str]]:
    e = record.evidence
    return [
        ("SHA-256 of the record", hashlib.sha256(record.record).hexdigest()),
        ("Salt", record.salt.hex()),
        ("SHA-256 of salt and record", e.digest.hex()),
        ("Link of the record before", e.prev.hex()),
        ("Link (SHA-256), which the unit signed", e.link.hex()),
        ("Id of the unit's key", e.key_id.hex()),
        ("Signature (Ed25519)", e.signature.hex()),
    ]


def keys_text(package: Package) -> str:
    """Return the fingerprints of the keys, one a line."""
    return "".join(key_line(unit, raw) for unit, raw in package.keys)
