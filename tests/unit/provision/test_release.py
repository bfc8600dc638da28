"""Who made an image is proven before it is flashed."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from cli.keys import make_signer
from cli.provision import app
from protocol.errors import KeyFileError
from protocol.seal.keys import SigningKey, VerifyKey
from provision.errors import ProvisionError
from provision.pki import CA_KEY, make_authority
from provision.release_key import check_signature, sign_image

PRIVATE, PUBLIC = "release.key", "release.pub"


@pytest.fixture
def release(tmp_path):
    make_signer(tmp_path / "release", "release")
    return tmp_path / "release"


@pytest.fixture
def signed(image, release):
    sign_image(image, SigningKey.load(release / PRIVATE))
    return image


def flash(image, card, *options) -> str:
    said = CliRunner().invoke(app, ["flash", str(image), str(card), *map(str, options)], catch_exceptions=False)
    assert said.exit_code == 0
    return said.output


def test_signed_image_is_flashed_and_signer_shown(signed, card, release):
    said = flash(signed, card, "--key", release / PUBLIC, "--really")
    assert "signed by" in said
    assert "fingerprint" in said
    assert card.read_bytes()[: signed.stat().st_size] == signed.read_bytes()


def test_without_key_only_hash_is_checked_and_reported(image, card):
    assert "only the hash was checked" in flash(image, card)


def test_missing_signature_is_refused(image, card, release):
    before = card.read_bytes()
    with pytest.raises(ProvisionError, match=r"no signature.*do not flash"):
        flash(image, card, "--key", release / PUBLIC, "--really")
    assert card.read_bytes() == before


def test_replaced_image_with_matching_hash_is_refused(signed, card, release, tmp_path):
    """Whoever changes the image can change the hash beside it, not the signature."""
    with signed.open("ab") as file:
        file.write(b"more")
    digest = subprocess.run(["sha256sum", signed.name], cwd=tmp_path, check=True, capture_output=True).stdout
    signed.with_name("fleet.img.sha256").write_bytes(digest)
    with pytest.raises(ProvisionError, match="do not use it"):
        flash(signed, card, "--key", release / PUBLIC, "--really")


@pytest.mark.parametrize("signature", [b"", b"x" * 64, b"x" * 4096])
def test_malformed_signature_is_refused(signed, release, signature):
    signed.with_name("fleet.img.sig").write_bytes(signature)
    with pytest.raises(ProvisionError, match="do not use it"):
        check_signature(signed, release / PUBLIC)


def test_signature_of_another_key_is_refused(signed, tmp_path):
    make_signer(tmp_path / "other", "release")
    with pytest.raises(ProvisionError, match="not signed by"):
        check_signature(signed, tmp_path / "other" / PUBLIC)


def test_hash_file_with_extra_content_is_not_signed(image, release):
    image.with_name("fleet.img.sha256").write_text("whatever else a key could be made to sign")
    with pytest.raises(ProvisionError, match="must be one line of sha256sum"):
        sign_image(image, SigningKey.load(release / PRIVATE))


def test_authority_key_is_not_a_release_key(tmp_path):
    make_authority(tmp_path / "ca", "fleet")
    with pytest.raises(KeyFileError, match="Ed25519"):
        SigningKey.load(tmp_path / "ca" / CA_KEY)


def test_release_key_is_private_and_never_overwritten(release):
    assert (release / PRIVATE).stat().st_mode & 0o777 == 0o600
    assert VerifyKey.load(release / PUBLIC).id == SigningKey.load(release / PRIVATE).id
    with pytest.raises(KeyFileError, match="never overwritten"):
        make_signer(release, "release")


def test_image_is_signed_separately(image, card, release):
    said = CliRunner().invoke(app, ["sign", str(image), "--key", str(release / PRIVATE)])
    assert said.exit_code == 0
    assert "signed by" in flash(image, card, "--key", release / PUBLIC)


def test_signature_verifies_with_openssl(signed, release):
    """No program of ours is needed to know who made an image."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing; run: make system-packages"
    done = subprocess.run(
        [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(release / PUBLIC), "-rawin",
         "-in", "fleet.img.sha256", "-sigfile", "fleet.img.sig"],
        cwd=signed.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
