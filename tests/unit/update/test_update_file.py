"""An update file: what was signed comes out, anything else is refused with one clear error."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.errors import BundleError
from cli.update import app
from protocol.errors import UpdateError
from protocol.seal.keys import SigningKey
from protocol.update import envelope
from protocol.update.envelope import each_file, read_manifest, size_bytes, verify_update, write_update
from protocol.update.manifest import MAX_FILE_BYTES, FileEntry, Manifest, Part, parse_manifest, refuse_unless_fits
from provision.make_update import Sources, Terms, make_update
from tests.conftest import ROOT

KEY = SigningKey.generate()
WHEEL = "patrol_lpr-0.2.0-py3-none-any.whl"
FILES = {
    (Part.CODE, WHEEL): b"wheel" * 50,
    (Part.CODE, "numpy-1.26.4-cp311.whl"): b"",
    (Part.MODELS, "ocr/plate-ocr-r4/model.tflite"): b"\0model",
    (Part.CONFIG, "config.toml"): b"[log]\nlevel = 'debug'\n",
}


def entry(part, name, data):
    return FileEntry(part=part, name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def manifest(files=FILES, **changes):
    values = {
        "format": 1, "release": 42, "units": ("unit-*",), "not_before_s": 1000, "expires_s": 2000, "needs": 40,
        "files": tuple(entry(part, name, data) for (part, name), data in files.items()),
    }  # fmt: skip
    return Manifest(**{**values, **changes})


def written(made, files=FILES, key=KEY):
    out = io.BytesIO()
    write_update(out, made, key, lambda e: io.BytesIO(files[e.part, e.name]))
    return out.getvalue()


def signed(data: bytes) -> bytes:
    """A file whose manifest is anything, rightly signed."""
    header = envelope._HEADER.pack(envelope.MAGIC, KEY.id, KEY.sign(envelope._CONTEXT + data), len(data))
    return header + data


WHOLE = written(manifest())


def verify(data: bytes):
    return verify_update(io.BytesIO(data), KEY.public)


def test_signed_update_round_trip():
    file = io.BytesIO(WHOLE)
    read = read_manifest(file, KEY.public)
    assert read == manifest()
    assert {(e.part, e.name): b"".join(blocks) for e, blocks in each_file(file, read)} == FILES
    assert size_bytes(read) == len(WHOLE)


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_altered_byte_is_refused(at, flip):
    altered = bytearray(WHOLE)
    altered[at] ^= flip
    with pytest.raises(UpdateError):
        verify(bytes(altered))


@given(st.integers(0, len(WHOLE) - 1))
def test_truncated_file_is_refused(length):
    with pytest.raises(UpdateError):
        verify(WHOLE[:length])


@given(st.binary(min_size=1, max_size=64))
def test_trailing_data_is_refused(more):
    with pytest.raises(UpdateError, match="after the end"):
        verify(WHOLE + more)


@given(st.binary(max_size=400))
def test_file_of_another_type_is_refused(data):
    with pytest.raises(UpdateError):
        verify(data)
    with pytest.raises(UpdateError):
        verify(signed(data))


def test_update_with_another_key_is_refused():
    with pytest.raises(UpdateError, match="signed by key"):
        verify_update(io.BytesIO(WHOLE), SigningKey.generate().public)
    forged = bytearray(written(manifest(), key=SigningKey.generate()))
    forged[8:16] = KEY.id
    with pytest.raises(UpdateError, match="signature is invalid"):
        verify(bytes(forged))


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "/etc/passwd",
        "a/../b",
        "a//b",
        ".hidden",
        "a/.b",
        "",
        "a\\b",
        "a\0b",
        "a/b/c/d/e",
        "x" * 201,
    ],
)
def test_unsafe_file_names_are_refused_even_if_signed(name):
    told = json.loads(manifest().canonical())
    told["files"][2]["name"] = name
    with pytest.raises(UpdateError, match="manifest"):
        verify(signed(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2, "new": 1}, "format 2, this version reads 1"),
        ({"format": 0}, "format 1"),
        ({"release": 0}, "release"),
        ({"release": "42"}, "release"),
        ({"surprise": 1}, "surprise"),
        ({"files": []}, "files"),
        ({"expires_s": 1000}, "expires before"),
        ({"units": ["unit/#"]}, "units"),
    ],
)
def test_invalid_manifest_is_refused_with_reason(change, says):
    told = {**json.loads(manifest().canonical()), **change}
    with pytest.raises(UpdateError, match=says):
        verify(signed(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()))


def test_manifest_encoding_is_canonical():
    with pytest.raises(UpdateError, match="not in the canonical form"):
        parse_manifest(json.dumps(json.loads(manifest().canonical())).encode())


def test_oversized_duplicate_and_nested_files_are_refused():
    one = entry(Part.MODELS, "a", b"")
    for files, says in (
        ((one.model_copy(update={"size": MAX_FILE_BYTES + 1}),), "size"),
        (tuple(one.model_copy(update={"name": f"m{n}", "size": MAX_FILE_BYTES}) for n in range(3)), "more than"),
        ((one, one), "twice"),
        ((one, entry(Part.MODELS, "a/b", b"")), "below a file"),
        ((entry(Part.CODE, "setup.py", b""),), "not a wheel"),
        ((entry(Part.CONFIG, "other.toml", b""),), "config.toml"),
    ):
        told = json.loads(manifest().canonical()) | {"files": [e.model_dump(mode="json") for e in files]}
        with pytest.raises(UpdateError, match=says):
            parse_manifest(json.dumps(told, sort_keys=True, separators=(",", ":")).encode())


FITS = {"unit": "unit-07", "now_s": 1500.0, "running": 41, "floor": 41, "failed": frozenset(), "anyway": False}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"unit": "bus-07"}, "this unit is bus-07"),
        ({"now_s": 999}, "not valid yet"),
        ({"now_s": 2000}, "expired"),
        ({"running": 39}, "needs release 40"),
        ({"floor": 42}, "not above 42"),
        ({"floor": 50}, "not above 50"),
        ({"failed": frozenset({42})}, "rolled back here"),
    ],
)
def test_update_not_for_this_unit_is_refused(change, says):
    with pytest.raises(UpdateError, match=says):
        refuse_unless_fits(manifest(), **{**FITS, **change})


def test_anyway_allows_only_older_or_failed_releases():
    refuse_unless_fits(manifest(), **FITS)
    refuse_unless_fits(manifest(), **{**FITS, "floor": 50, "failed": frozenset({42}), "anyway": True})
    for change in ({"unit": "bus-07"}, {"now_s": 2000}, {"running": 1}):
        with pytest.raises(UpdateError):
            refuse_unless_fits(manifest(), **{**FITS, **change, "anyway": True})


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, size in ((WHEEL, 1000), ("numpy-1.26.4-cp311.whl", 2000)):
        with zipfile.ZipFile(folder / name, "w") as wheel:
            wheel.writestr("contents", os.urandom(size))
    return folder


@pytest.mark.parametrize(
    "held", [lambda data: data[:-40], lambda data: data[:60] + bytes(20) + data[80:], lambda _: b""]
)
def test_a_wheel_whose_copy_was_interrupted_is_not_signed(tmp_path, wheels, held):
    KEY.save(tmp_path / "release.key")
    damaged = wheels / "numpy-1.26.4-cp311.whl"
    damaged.write_bytes(held(damaged.read_bytes()))
    words = ("make", tmp_path / "o.lprup", "--key", tmp_path / "release.key", "--release", 42, "--wheels", wheels)
    done = CliRunner().invoke(app, list(map(str, words)))
    assert isinstance(done.exception, UpdateError)
    assert str(done.exception) == f"{damaged}: damaged, or not a wheel; copy or build it again"
    assert not (tmp_path / "o.lprup").exists()


def test_base_wheels_are_listed_but_not_included(tmp_path, wheels):
    terms = Terms(1, ("*",), 0, 10)
    first = Sources()
    first.add_wheels(wheels)
    base = make_update(tmp_path / "1.lprup", first, terms, KEY)
    (wheels / WHEEL).write_bytes(b"changed")
    second = Sources()
    second.add_wheels(wheels)
    made = make_update(tmp_path / "2.lprup", second, replace(terms, release=2), KEY, base=base)
    assert [e.name for e in made.carried] == [WHEEL]
    assert made.needs == 1
    assert (tmp_path / "2.lprup").stat().st_size == size_bytes(made)
    with (tmp_path / "2.lprup").open("rb") as file:
        assert verify_update(file, KEY.public) == made


def test_invalid_sources_are_refused_by_make(tmp_path):
    with pytest.raises(UpdateError, match="0 wheels of patrol_lpr"):
        Sources().add_wheels(tmp_path)
    with pytest.raises(BundleError):
        Sources().add_models(tmp_path)
    (tmp_path / "c.toml").write_text("a = ")
    with pytest.raises(UpdateError, match=r"c\.toml"):
        Sources().add_config(tmp_path / "c.toml")


def test_commands_make_and_show(tmp_path, wheels):
    KEY.save(tmp_path / "release.key")
    (tmp_path / "release.pub").write_bytes(KEY.public.pem())
    (tmp_path / "fleet.toml").write_text("[log]\nlevel = 'debug'\n")
    out = tmp_path / "r42.lprup"
    done = CliRunner().invoke(app, [
        "make", str(out), "--key", str(tmp_path / "release.key"), "--release", "42", "--wheels", str(wheels),
        "--models", str(ROOT / "models"), "--config", str(tmp_path / "fleet.toml"), "--unit", "unit-*",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "code, config, models" in done.output
    shown = CliRunner().invoke(app, ["show", str(out), "--key", str(tmp_path / "release.pub")])
    assert shown.exit_code == 0, shown.output
    assert "release 42 for unit-*" in shown.output
    assert "config.toml" in shown.output
    nothing = CliRunner().invoke(
        app, ["make", str(out), "--key", str(tmp_path / "release.key"), "--release", "43"]
    )
    assert nothing.exit_code == 2
