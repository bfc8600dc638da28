"""Files that people write are read whole or refused, whatever the editor and the device."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from hw.ports import HwConfigError
from protocol.errors import KeyFileError
from protocol.seal.keys import SigningKey, VerifyKey
from protocol.written import WrittenFileError, parse_toml, read_bounded, read_written
from provision.card import load_card
from provision.errors import ProvisionError

DEVICE = Path("/dev/zero")
DEEP = f"a = {'[' * 20_000}{']' * 20_000}"


def test_the_mark_of_windows_editors_is_no_text(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(codecs.BOM_UTF8 + b"a = 1\r\n")
    assert parse_toml(read_written(path)) == {"a": 1}


def test_a_file_is_read_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 2048)
    assert len(read_bounded(path, 2048)) == 2048
    with pytest.raises(WrittenFileError, match="larger than 1 KiB"):
        read_bounded(path, 1024)


def test_a_device_without_an_end_is_refused():
    with pytest.raises(WrittenFileError, match="larger than 16 MiB"):
        read_written(DEVICE)
    with pytest.raises(KeyFileError, match="not a key: larger than"):
        VerifyKey.load(DEVICE)
    with pytest.raises(KeyFileError, match="not a key: larger than"):
        SigningKey.load(DEVICE)


def test_another_encoding_is_told_with_its_place(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("Müller".encode("latin-1"))
    with pytest.raises(WrittenFileError, match="not UTF-8 at byte 2; save it as UTF-8"):
        read_written(path)


@pytest.mark.parametrize("text", [DEEP, "a = ", "a = 1\na = 2"])
def test_what_is_not_toml_is_one_kind_of_error(text):
    with pytest.raises(WrittenFileError, match="not TOML"):
        parse_toml(text)


def test_cards_and_passwords_have_a_limit():
    with pytest.raises(ProvisionError, match="/dev/zero: larger than 1 MiB"):
        load_card(DEVICE)
    config = MqttLinkConfig(kind="mqtt", host="127.0.0.1", unit="unit-07", username="u", password_file=DEVICE)
    with pytest.raises(HwConfigError, match="password file /dev/zero cannot be used: larger than 64 KiB"):
        LinkMqtt(config)
