"""Files of the authority and of servers: made where they are named, never over another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.provision import app
from protocol.seal import SigningKey, StationKey
from protocol.seal.keys import RECEIPT_PUBLIC
from provision.errors import ProvisionError
from provision.pki import CA_CERT, CA_KEY, CRL, make_authority


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", [CA_KEY, CA_CERT, CRL])
def test_existing_authority_is_not_overwritten(tmp_path, name):
    """A broker's folder has certificates of the same names."""
    (tmp_path / name).write_text("another's")
    with pytest.raises(ProvisionError, match="never overwritten"):
        make_authority(tmp_path, "fleet")
    assert contents(tmp_path) == {name: b"another's"}


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "authority"
    make_authority(folder, "fleet")
    return folder


def issue(authority, name, out):
    return CliRunner().invoke(app, ["issue", str(authority), name, "--out", str(out)])


def test_several_certificates_can_share_a_folder(authority, tmp_path):
    out = tmp_path / "out"
    for name in ("broker", "station"):
        assert issue(authority, name, out).exit_code == 0
    assert set(contents(out)) == {"ca.pem", "broker.key", "broker.pem", "station.key", "station.pem"}


@pytest.mark.parametrize("held", ["broker.key", "broker.pem", "ca.pem"])
def test_issue_overwrites_no_key_and_no_other_authority(authority, tmp_path, held):
    out = tmp_path / "out"
    out.mkdir()
    (out / held).write_text("another's")
    assert isinstance(issue(authority, "broker", out).exception, ProvisionError)
    assert contents(out) == {held: b"another's"}


@pytest.mark.parametrize("name", ["ca", "../ca", "a/b", ""])
def test_issue_refuses_paths_and_the_authoritys_name(authority, name):
    before = contents(authority)
    assert isinstance(issue(authority, name, authority).exception, ProvisionError)
    assert contents(authority) == before


def test_card_is_written_to_named_path(authority, tmp_path):
    """A link is followed, and the card is for its owner alone."""
    (tmp_path / "station.pub").write_bytes(StationKey.generate().pem())
    (tmp_path / RECEIPT_PUBLIC).write_bytes(SigningKey.generate().public.pem())
    real, link = tmp_path / "real.json", tmp_path / "card.json"
    link.symlink_to(real)
    for unit, out in (("unit-07", link), ("unit-08", Path("/dev/null"))):
        made = CliRunner().invoke(
            app,
            ["card", str(authority), unit, "--agency", "A", "--enrol-at", "e:1", "--broker", "b:1",
             "--station-key", str(tmp_path / "station.pub"), "--out", str(out)],
        )  # fmt: skip
        assert made.exit_code == 0, made.output
    assert link.is_symlink()
    assert real.stat().st_mode & 0o077 == 0
    assert Path("/dev/null").is_char_device()
