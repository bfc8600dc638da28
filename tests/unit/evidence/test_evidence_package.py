"""Evidence packages: what is in one, that every alteration is found, and that strangers' files are only refused."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.records import TimeTag
from protocol.seal import SigningKey
from protocol.seal.series import examine, read_series
from protocol.wire.enums import TimeSource
from station.asker import Asker
from station.errors import PurposeError, StoreError
from station.evidence import c2pa_pictures, make
from station.evidence.c2pa_pictures import C2paError, load_signer
from station.evidence.examine import PackageError, examine_package
from station.evidence.make import make_package
from station.evidence.outline import outline_map
from station.evidence.package import key_line
from station.evidence.values import written
from station.query.evidence import EvidenceOf
from station.query.trail import Trail
from station.store import open_store
from tests.builders import make_time_anchor
from tests.hit_builders import make_disposition, make_hit_body
from tests.signed_series import HIT_ID, NOW_US, READ_ID, SignedUnit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from station.store import Store

CLERK = Asker("clerk", "stolen vehicle", "2026-0042")
STATION_KEY = SigningKey.generate()
HOSTILE = "<img src=x onerror=alert(1)>';DROP TABLE reads;--=1+1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


@pytest.fixture
def unit(store: Store) -> SignedUnit:
    return SignedUnit(store)


def of(signed: SignedUnit, identity: bytes = READ_ID, asker: Asker = CLERK, **more: Any) -> Any:
    trail = Trail(signed.store, asker, lambda: NOW_US)
    return EvidenceOf(signed.store, asker, lambda: NOW_US, trail).package(identity, signed.ring(), **more)


def files(unit: SignedUnit, own: SigningKey | None = STATION_KEY, **more: Any) -> tuple[str, bytes]:
    made = make_package(of(unit, **more), own, None)
    return made.page.decode(), made.archive


@pytest.fixture
def page(unit: SignedUnit) -> str:
    unit.hit_with_story()
    return files(unit)[0]


@pytest.mark.parametrize("identity", [READ_ID, HIT_ID])
def test_package_of_a_read_or_its_hit_has_the_whole_story(unit, identity):
    """The read, both stages of the hit, and every decision; found by the id of the read or of the hit."""
    unit.read(7)
    unit.hit_with_story()
    package = of(unit, identity)
    assert [record.about for record in package.records] == [
        "read",
        "hit",
        "hit",
        "decision",
        "decision",
        "decision",
    ]
    assert {picture.kind for picture in package.pictures} == {"plate", "overview"}
    made = make_package(package, STATION_KEY, None)
    found = examine_package(made.page)
    assert (found.problems, found.records, found.pictures) == ([], 6, 2)
    assert found.station
    assert examine_package(made.archive).is_right
    assert not examine_package(made.page, {unit.unit: [SigningKey.generate().public]}).is_right
    assert examine_package(made.page, {unit.unit: [unit.key.public]}).is_right


def test_package_of_a_plain_read_has_the_read_alone(unit):
    unit.read(7, pictures=())
    package = of(unit, (7).to_bytes(16, "big"))
    assert [record.about for record in package.records] == ["read"]
    assert "What officers decided" not in make_package(package, None, None).page.decode()


def test_package_has_the_time_anchor_that_dated_the_read(unit):
    """A time that the station computed is proved by the record from which it was computed."""
    unit.read(7, pictures=(), when=TimeTag(None, TimeSource.NONE, None))
    unit.add(make_time_anchor(60_000_000_000))
    package = of(unit, (7).to_bytes(16, "big"))
    assert [record.about for record in package.records] == ["read", "anchor"]
    assert examine_package(make_package(package, None, None).page).is_right


def test_package_needs_purpose_and_case_number(unit):
    unit.hit_with_story()
    for asker in (Asker("clerk"), Asker("clerk", "why"), Asker("clerk", "", "2026-1"), Asker("clerk", " ", " ")):
        with pytest.raises(PurposeError):
            of(unit, asker=asker)


def test_export_is_in_the_audit_trail_before_there_is_a_file(unit, monkeypatch):
    unit.hit_with_story()
    of(unit)
    told = [(row.what, row.purpose, row.case_number, row.count) for row in unit.store.audit_trail()]
    assert told == [
        ("export evidence package begins", "stolen vehicle", "2026-0042", 0),
        ("export evidence package", "stolen vehicle", "2026-0042", 6),
    ]

    def fails(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(unit.store, "audit", fails)
    with pytest.raises(StoreError):
        of(unit)


def test_unknown_read_and_another_unit_have_no_package(unit):
    unit.hit_with_story()
    assert of(unit, bytes(16)) is None
    assert of(unit, unit="unit-08") is None
    assert of(unit, unit="unit-07") is not None


@pytest.mark.slow
def test_records_that_were_never_signed_are_named(unit):
    """A unit on a desk signs nothing: the page says so instead of proving it."""
    unit.hit_with_story()
    with unit.store.transaction():
        unit.store.db.driver_sql("DELETE FROM evidence WHERE seq = 6")
    package = of(unit)
    assert package.unproved == ("Record 6 of unit-07 (decision) was never signed and is not in this package.",)
    assert package.unproved[0] in make_package(package, None, None).page.decode()


def changed(page: str, old: str, new: str) -> bytes:
    assert old in page
    return page.replace(old, new, 1).encode()


def test_altered_text_of_a_value_is_named(page):
    found = examine_package(changed(page, ">7ABC123</td>", ">7ABC128</td>"))
    assert found.problems == [
        'Altered text: "Plate text, from all frames" of read (record 1 of unit-07)',
        "Altered text on this page",
    ]


def test_altered_text_outside_of_the_values_is_noticed(page):
    assert examine_package(changed(page, "2026-0042", "2026-0043")).problems == ["Altered text on this page"]


def test_altered_picture_is_named(page):
    data = re.search(r'alt="Picture of the plate" src="data:image/jpeg;base64,([^"]+)"', page)[1]
    other = base64.b64encode(base64.b64decode(data)[:-1] + b"\0").decode()
    assert examine_package(changed(page, data, other)).problems == ["Altered picture: Picture of the plate"]


def test_altered_map_is_noticed(page):
    data = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page)[1]
    other = base64.b64encode(base64.b64decode(data).replace(b"circle", b"ellips")).decode()
    assert examine_package(changed(page, data, other)).problems == ["Altered part of the page: map"]


def with_contents(page: str, change: Any, own: SigningKey | None = None) -> bytes:
    """The page with other contents, signed again by whoever has a key."""
    text = re.search(r'id="package">([^<]*)<', page)[1]
    told = json.loads(text)
    change(told)
    new = json.dumps(told, sort_keys=True)
    page = page.replace(text, new, 1)
    if own is not None:
        signature = base64.b64encode(own.sign(b"patrol-lpr package/1\0" + new.encode())).decode()
        page = re.sub(r'id="signature">[^<]*<', f'id="signature">{signature}<', page)
    return page.encode()


SIGNATURE = "Altered signature of the station, or altered contents of the export"


def test_altered_signature_of_a_record_is_named(page):
    def forge(told: dict) -> None:
        told["records"][0]["signature"] = base64.b64encode(bytes(64)).decode()

    problems = examine_package(with_contents(page, forge)).problems
    assert "Altered record, or not signed by its unit: read (record 1 of unit-07)" in problems
    assert SIGNATURE in problems


def test_record_that_was_altered_with_its_text_is_named(page):
    """Whoever alters value and record together meets the unit's signature; the station's key does not help them."""

    def forge(told: dict) -> None:
        record = base64.b64decode(told["records"][0]["record"]).replace(b"7ABC123", b"7ABC128")
        told["records"][0]["record"] = base64.b64encode(record).decode()

    thief = SigningKey.generate()
    forged = with_contents(page.replace(">7ABC123</td>", ">7ABC128</td>"), forge, thief)
    assert (
        "Altered record, or not signed by its unit: read (record 1 of unit-07)" in examine_package(forged).problems
    )


def test_removed_record_of_the_story_is_noticed(page):
    """A decision that is taken out leaves a chain that does not hold, or text that is not the exported one."""

    def remove(told: dict) -> None:
        del told["records"][3]

    assert examine_package(with_contents(page, remove, STATION_KEY)).problems


def test_unsigned_export_says_so(unit):
    unit.hit_with_story()
    found = examine_package(files(unit, None)[0].encode())
    assert (found.is_right, found.station) == (True, "")


@pytest.mark.slow
def test_archive_has_the_raw_files_and_a_series(unit):
    """The bytes as signed, and a series that the older command verifies."""
    unit.hit_with_story()
    _, data = files(unit)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert {name.partition("/")[0] for name in members} == {
        "README.txt", "evidence.html", "records", "pictures", "series.lpr", "proof", "certificate-draft.txt",
    }  # fmt: skip
    _, proofs = read_series(io.BytesIO(members["series.lpr"]))
    (unit_findings,) = examine(proofs, {unit.unit: [unit.key.public]})
    assert unit_findings.is_right
    assert b"DRAFT" in members["certificate-draft.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["records/", "pictures/", "proof/package.json"])
def test_altered_file_in_the_archive_is_named(unit, start):
    unit.hit_with_story()
    _, data = files(unit)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        name = next(n for n in old.namelist() if n.startswith(start))
        for member in old.namelist():
            new.writestr(member, old.read(member) + (b"x" if member == name else b""))
    problems = examine_package(out.getvalue()).problems
    assert problems == [f"Altered file in the archive, or it is missing: {name}"]


def with_members(data: bytes, changed: dict[str, bytes | None]) -> bytes:
    """The archive with other files; None leaves one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            content = changed.get(member, old.read(member))
            if content is not None:
                new.writestr(member, content)
    return out.getvalue()


def test_altered_list_of_keys_is_named(unit):
    """Somebody compares these fingerprints by hand: another key in the list must not pass."""
    unit.hit_with_story()
    _, data = files(unit)
    other = key_line(unit.unit, SigningKey.generate().public.raw).encode()
    own = key_line(unit.unit, unit.key.public.raw).encode()
    for keys in (None, {unit.unit: [unit.key.public]}):
        assert examine_package(data, keys).problems == []
        for text in (other, own + other, b"", None, b"\xff"):
            problems = examine_package(with_members(data, {"proof/keys.txt": text}), keys).problems
            assert problems[0] == "Altered file in the archive, or it is missing: proof/keys.txt"


def test_list_of_keys_names_the_key_that_was_used(unit):
    """Also if the same other key is told in the page, whose records are found signed by a key that was given."""
    unit.hit_with_story()
    page, data = files(unit, None)
    other = SigningKey.generate().public.raw

    def forge(told: dict) -> None:
        told["keys"][0]["key"] = base64.b64encode(other).decode()

    forged = with_contents(page, forge, None)
    package = re.search(rb'id="package">([^<]*)<', forged)[1]
    changed = {
        "evidence.html": forged, "proof/package.json": package,
        "proof/keys.txt": key_line(unit.unit, other).encode(),
    }  # fmt: skip
    problems = examine_package(with_members(data, changed), {unit.unit: [unit.key.public]}).problems
    used = key_line(unit.unit, unit.key.public.raw).strip()
    assert problems == [f"proof/keys.txt does not name the key that the records hold with: {used}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "forge",
    [
        lambda told: told.pop("records"),
        lambda told: told.update(records=[{"file": []}]),
        lambda told: told.update(pictures=5),
        lambda told: told["pictures"][0].pop("file"),
    ],
)
def test_forged_archive_is_a_finding_and_no_crash(page, forge):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        new.writestr("evidence.html", with_contents(page, forge))
    assert examine_package(out.getvalue()).problems


def test_archive_whose_compressed_bytes_are_damaged_is_refused(page):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("evidence.html", page)
    data, at = out.getvalue(), 30 + len("evidence.html")
    with pytest.raises(PackageError):
        examine_package(data[:at] + b"\xff" * 8 + data[at + 8 :])


def test_hostile_texts_are_shown_as_they_are(unit):
    """In every field: nothing is markup."""
    unit.read(1, text=HOSTILE[:32], read_id=READ_ID, pictures=(), raw=HOSTILE, camera=HOSTILE[:36])
    unit.add(
        make_hit_body(
            "=1+1", hit_id=HIT_ID, read_id=READ_ID, list_name=HOSTILE, list_owner="@SUM(A1)", pictures=()
        )
    )
    unit.add(make_disposition(hit_id=HIT_ID, note=HOSTILE * 3, reference="</script><script>alert(1)</script>"))
    page, data = files(unit, asker=Asker("clerk <script>", HOSTILE, "</td>"))
    assert examine_package(page.encode()).problems == []
    assert examine_package(data).problems == []
    assert "<img src=x" not in page
    assert page.count("</script>") == 3


@given(st.binary(max_size=300))
def test_garbage_is_no_package(data):
    with pytest.raises(PackageError):
        examine_package(data)


@given(st.data())
def test_damaged_contents_are_findings_and_no_crash(data):
    """Any value anywhere in the contents: the result is findings."""
    page = _kept_page()
    told = json.loads(re.search(r'id="package">([^<]*)<', page)[1])
    name = data.draw(st.sampled_from(sorted(set(told) - {"v"})))
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(told["records"][0])), inner)
            ),
            max_leaves=6,
        )
    )
    forged = with_contents(page, lambda told: told.update({name: value}))
    assert examine_package(forged).problems or value == told[name]


_PAGES: list[str] = []


def _kept_page() -> str:
    """Made once: hypothesis draws many."""
    if not _PAGES:
        store = open_store_in_memory()
        unit = SignedUnit(store)
        unit.hit_with_story()
        _PAGES.append(files(unit)[0])
        store.close()
    return _PAGES[0]


def open_store_in_memory() -> Store:
    import tempfile  # noqa: PLC0415 - for one test
    from pathlib import Path  # noqa: PLC0415 - as above

    return open_store(Path(tempfile.mkdtemp()) / "kept.db")


def test_damaged_archive_is_refused(unit):
    unit.hit_with_story()
    _, data = files(unit)
    with pytest.raises(PackageError):
        examine_package(data[: len(data) // 2])


def test_export_is_proved_to_be_in_the_log(page):
    """The entry names this package; another entry, or another path, proves nothing."""
    assert examine_package(page.encode()).in_log
    problem = "The proof that this export is in the station's log does not hold"

    def other_case(told: dict) -> None:
        told["case_number"] = "2026-0043"

    def other_path(told: dict) -> None:
        told["log"]["path"] = ["00" * 32]

    for change in (other_case, other_path):
        assert problem in examine_package(with_contents(page, change, STATION_KEY)).problems


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (9876, "percent", "98.76 %"),
        (5, "percent", "0.05 %"),
        (-1_002_345_678, "degrees", "-100.2345678°"),
        (-5, "degrees", "-0.0000005°"),
        (1_780_000_000_000_001, "utc", "2026-05-28 20:26:40.000001 UTC"),
        (2**62, "utc", f"{2**62} us"),
        (None, "centimetres", "not known"),
        (0, "due", "none"),
        ("", "text", "none"),
        ("\u202eABC\x00\u200b é", "text", r"\u{202e}ABC\u{0}\u{200b} é"),
    ],
)
def test_values_in_plain_words(value, form, text):
    assert written(value, form) == text


@pytest.mark.slow
@pytest.mark.parametrize("place", [(36.1, -92.2), (52.5, 13.4), (-89.9, 0.0), (0.0, 179.99), (65.0, -168.0)])
def test_outline_map_of_any_place(place):
    """The US by states, elsewhere by countries, poles and the 180th meridian included."""
    svg = outline_map(*place, 20_000.0)
    assert svg.startswith(b"<svg")
    assert svg.count(b"<circle") == 2


def certificate_files(folder: Path) -> tuple[Path, Path]:
    """An authority of the tests and a certificate for signing, as C2PA asks for."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, "CA")]
    )
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, "Desk")]
    )

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now).not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )  # fmt: skip

    ca = builder(ca_name, ca_key.public_key(), is_ca=True).sign(ca_key, hashes.SHA256())
    leaf = builder(name, key.public_key(), is_ca=False).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    chain = folder / "chain.pem"
    pem = serialization.Encoding.PEM
    chain.write_bytes(leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem) + ca.public_bytes(pem))
    own = folder / "c2pa.key"
    own.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return chain, own


@pytest.mark.slow
def test_copies_with_a_c2pa_manifest_name_record_and_picture(unit, tmp_path):
    """The manifest is read back by c2pa; the pictures that the unit signed are untouched."""
    import c2pa  # noqa: PLC0415 - 53 MB

    unit.hit_with_story()
    package = of(unit)
    made = make_package(package, STATION_KEY, load_signer(*certificate_files(tmp_path)))
    assert "copies of the pictures with a C2PA manifest" in made.page.decode()
    assert examine_package(made.archive).is_right
    with zipfile.ZipFile(io.BytesIO(made.archive)) as archive:
        copies = {name: archive.read(name) for name in archive.namelist() if name.startswith("c2pa/")}
    assert len(copies) == 2
    for picture in package.pictures:
        copy = copies[picture.file_name.replace("pictures/", "c2pa/")]
        told = json.loads(c2pa.Reader("image/jpeg", io.BytesIO(copy)).json())
        manifest = told["manifests"][told["active_manifest"]]
        own = next(a["data"] for a in manifest["assertions"] if a["label"] == "org.patrol-lpr.record")
        assert own["picture_sha256"] == picture.sha256.hex()
        assert own["id"] == package.record_id.hex()
        codes = {status["code"] for status in told.get("validation_status", [])}
        assert codes <= {"signingCredential.untrusted"}, "the tests' authority is on no trust list, all else holds"


@pytest.mark.slow
def test_without_the_extra_the_package_is_made_and_says_so(unit, monkeypatch):
    unit.hit_with_story()
    monkeypatch.setattr(make, "has_extra", lambda: False)
    page = make_package(of(unit), STATION_KEY, None).page.decode()
    assert c2pa_pictures.WITHOUT_EXTRA in page
    assert examine_package(page.encode()).is_right


def test_c2pa_key_of_another_certificate_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chain, _ = certificate_files(tmp_path / "a")
    _, key = certificate_files(tmp_path / "b")
    with pytest.raises(C2paError, match="not the key of the first certificate"):
        load_signer(chain, key)
    with pytest.raises(C2paError, match="PEM"):
        load_signer(key, key)
    with pytest.raises(C2paError, match="cannot be read"):
        load_signer(tmp_path / "none.pem", key)
