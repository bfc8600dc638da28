"""``station.toml``: the example is valid, errors name their keys."""

from __future__ import annotations

import re

import pytest

from station.config import StationConfig, example, load_station_config
from station.errors import StationConfigError

SECRET = {"secret_file": "s"}


def written(tmp_path, text):
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    return path


def table(**values):
    lines = [
        f"{name} = {value!r}" if not isinstance(value, bool) else f"{name} = {str(value).lower()}"
        for name, value in values.items()
    ]
    return "\n[[outputs]]\n" + "\n".join(lines)


def test_example_is_valid_also_with_every_default_written_out(tmp_path):
    config = load_station_config(written(tmp_path, example()))
    assert [output.kind for output in config.outputs] == ["cot", "webhook", "jsonl"]
    whole = re.sub(r"^# (\w+ = )", r"\1", example(), flags=re.MULTILINE)
    assert load_station_config(written(tmp_path, whole)) == config


def test_empty_file_has_no_outputs(tmp_path):
    assert load_station_config(written(tmp_path, "")) == StationConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table(name="a", kind="jsonl", path="x", plate=True), "outputs.1.plate: unknown key"),
        (table(name="A b", kind="jsonl", path="x"), "outputs.1.name"),
        (table(name="a", kind="jsonl", path="x") * 2, "two have the same name"),
        (table(name="a", kind="fax"), "fax"),
        (table(name="a", kind="webhook", url="http://x", **SECRET), "use https://"),
        (table(name="a", kind="webhook", url="https://u:p@x", **SECRET), "must not contain a user"),
        (table(name="a", kind="webhook", url="https://x/a b", **SECRET), "characters"),
        (table(name="a", kind="webhook", url="https://x:99999", **SECRET), "outputs.1"),
        (table(name="a", kind="cot", url="udp://tak.example.org:6969"), "is not encrypted"),
        (
            table(name="a", kind="cot", url="tcp://10.0.0.1:8087", unencrypted=True, plates=True),
            "over tls:// only",
        ),
        (table(name="a", kind="cot", url="file:///etc/passwd"), "use tls://"),
        (table(name="a", kind="cot", url="tls://x", cert="a.pem"), "give both"),
        ("format = 2", "format"),
        ("outputs = [", "not TOML"),
    ],
)
def test_errors_name_their_key(tmp_path, text, said):
    with pytest.raises(StationConfigError, match=r"station\.toml") as caught:
        load_station_config(written(tmp_path, text))
    assert said in str(caught.value)


def test_this_machine_needs_no_encryption(tmp_path):
    """A TAK server or a gateway beside the station."""
    text = table(name="a", kind="cot", url="udp://127.0.0.1:6969", plates=True)
    assert load_station_config(written(tmp_path, text)).outputs[0].address == ("127.0.0.1", 6969)
