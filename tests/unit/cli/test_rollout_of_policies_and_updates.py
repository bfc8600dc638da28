"""A policy and an update rolled out on the command line: stages, who has which version, and the page that says it."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from cli import keys
from cli import policy as policy_cli
from cli import station as station_cli
from protocol.policy.envelope import KIND as POLICY
from protocol.wire.codec import encode
from protocol.wire.control.transfer import UPDATE, UpdateReport
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import UpdateState
from station.rollout import chosen
from station.store import open_store
from tests.builders import BOOT
from tests.conftest import ROOT
from tests.station_web import NOW_US, Web
from tests.update_builder import Unit

UNITS = ("unit-07", "unit-08", "unit-09", "unit-10")
PACK = (ROOT / "docs/policies/us-va.toml").read_text(encoding="utf-8")


def run(app, *words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, (words, done.output, done.exception)
    return done.output


class Files:
    """Signed files of one type: ``make`` writes one of a version."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        if kind == POLICY:
            keys.make_signer(folder, "policy")
            self.key = folder / "policy.pub"
        else:
            self.unit = Unit(folder)
            self.key = folder / "release.pub"
            self.key.write_bytes(self.unit.key.public.pem())

    def make(self, version):
        if self.kind == UPDATE:
            self.unit.update(version, wheel=b"code")
            return self.folder / f"{version}.lprup"
        source, out = self.folder / f"{version}.toml", self.folder / f"{version}.lprpol"
        source.write_text(re.sub(r"^version *=.*$", f"version = {version}", PACK, flags=re.MULTILINE))
        run(policy_cli.app, "sign", source, out, "--key", self.folder / "policy.key", "--owner", "Example")
        return out


class Station:
    """The command line at a station's file, and the page of it."""

    def __init__(self, folder, files):
        self.path, self.files = folder / "station.db", files
        open_store(self.path).close()
        run(station_cli.app, "groups", "set", "north", *UNITS, "--db", self.path)

    def rollout(self, *words, code=0):
        return run(station_cli.app, "rollout", *words, "--db", self.path, code=code)

    def start(self, file, percent, code=0):
        key = ("--key", self.files.key, "--percent", percent)
        return self.rollout("start", self.files.kind, "north", file, *key, code=code)

    def advance(self, percent, code=0):
        return self.rollout("advance", self.files.kind, "north", "--percent", percent, code=code)

    def state(self):
        (told,) = json.loads(self.rollout("show", "north", "--json"))
        return told

    def units(self):
        return {unit["unit"]: (unit["offered"], unit["has"]) for unit in self.state()["units"]}

    def page(self):
        store = open_store(self.path)
        browser = Web(store).logged_in("analyst", name=f"a{len(store.accounts.all())}")
        html, told = browser.get("/lists").text, browser.get("/api/1/rollouts").json()
        store.close()
        cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)]
        return cells, told

    def report(self, unit, version):
        """As the unit does once it has fetched a policy, or runs an update."""
        store = open_store(self.path)
        with store.transaction():
            store.note_seen([unit], NOW_US)
            if self.files.kind == UPDATE:
                report = UpdateReport(
                    unit=unit, boot_id=BOOT, running=version, committed=version, release=version,
                    state=UpdateState.COMMITTED, reason="", fetched_bytes=1, config_sha256=bytes(32),
                )  # fmt: skip
                store.note_report(unit, encode(report))
            else:
                gauges = {f"files.{self.files.kind}.fetched": version}
                health = Health(
                    unit=unit, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=1, counters={}, gauges=gauges
                )
                store.note_health(health, encode(health), NOW_US)
        store.close()


@pytest.fixture(params=[POLICY, UPDATE])
def station(request, tmp_path):
    (tmp_path / "files").mkdir()
    return Station(tmp_path, Files(request.param, tmp_path / "files"))


@pytest.mark.slow
def test_a_file_goes_to_a_group_in_stages(station):
    """Offered to one, to half and to all; the page and the command say who has it."""
    kind = station.files.kind
    told = station.start(station.files.make(4), 25)
    assert f"{kind} version 4 offered to 1 of 4 units of north" in told
    (first,) = chosen(UNITS, kind, 4, 25)
    assert station.units() == dict.fromkeys(UNITS, (None, None)) | {first: (4, None)}
    station.report(first, 4)
    station.advance(50)
    half = chosen(UNITS, kind, 4, 50)
    assert first in half
    assert {unit for unit, (offered, _) in station.units().items() if offered} == set(half)
    station.advance(100)
    other = next(unit for unit in UNITS if unit != first)
    station.report(other, 3)
    assert station.units() == dict.fromkeys(UNITS, (4, None)) | {first: (4, 4), other: (4, 3)}
    cells, (row,) = station.page()
    assert cells[:6] == [kind, "north", "4", "100 %", "4 of 4", "1 of 4"]
    for unit, has in ((first, "4"), (other, "3"), (next(one for one in UNITS if one not in {first, other}), None)):
        at = cells.index(unit)
        assert cells[at + 1 : at + 3] == ["4", has or "not reported"]
    assert (row["kind"], row["version"], row["have"]) == (kind, 4, 1)


@pytest.mark.slow
def test_a_stopped_file_is_withdrawn_and_followed_by_a_higher_version_only(station):
    """Units keep what they have; the older file is refused, and a share of the next begins anew."""
    kind, older, newer = station.files.kind, station.files.make(4), station.files.make(5)
    station.start(older, 100)
    station.report("unit-08", 4)
    station.rollout("stop", kind, "north")
    assert station.units() == dict.fromkeys(UNITS, (None, None)) | {"unit-08": (None, 4)}
    station.advance(50, code=1)
    station.start(newer, 50)
    offered = {unit: offered for unit, (offered, _) in station.units().items()}
    assert offered == dict.fromkeys(UNITS, None) | dict.fromkeys(chosen(UNITS, kind, 5, 50), 5)
    station.start(older, 100, code=1)
    assert (station.state()["version"], station.state()["have"]) == (5, 0)
    store = open_store(station.path)
    noted = [entry.filter for entry in store.audit_trail() if entry.what == "roll out"]
    store.close()
    assert noted == [
        f"kind={kind} group=north release=4 percent=100",
        f"kind={kind} group=north release=4 percent=0",
        f"kind={kind} group=north release=5 percent=50",
    ]


@pytest.mark.slow
def test_what_another_key_signed_is_offered_to_nobody(station, tmp_path):
    (tmp_path / "other").mkdir()
    foreign = Files(station.files.kind, tmp_path / "other").make(9)
    station.start(foreign, 100, code=1)
    changed = bytearray(station.files.make(9).read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    station.start(tmp_path / "changed", 100, code=1)
    assert json.loads(station.rollout("show", "--json")) == []
