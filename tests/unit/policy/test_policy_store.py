"""Policies as files on the unit: verified at each start, never replaced by an older version, offered by a station."""

from __future__ import annotations

import json

import pytest

from agent.runtime.config import parse_config
from agent.runtime.policy import PoliciesInForce
from agent.runtime.policy_store import FETCHED, PolicyStore, install_fetched, load_policy_keys, policy_kind
from agent.sync.transfer import FileRefusedError
from cli.diagnostics import checks
from cli.diagnostics.step import Mark
from protocol.errors import PolicyError, SignedFileError
from protocol.policy.envelope import sign_pack
from protocol.seal.keys import SigningKey
from tests.unit.policy.packs import make_pack

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
NOW_S = 1_780_000_000


@pytest.fixture
def store(tmp_path):
    return PolicyStore(tmp_path / "state" / "policy", [KEY.public], unit="unit-07")


@pytest.fixture
def signed(tmp_path):
    def make(*, key=KEY, name="new.lprpol", units=("*",), expires_s=None, **changes):
        path = tmp_path / name
        path.write_bytes(sign_pack(make_pack(**changes), key, as_of_s=NOW_S, units=units, expires_s=expires_s))
        return path

    return make


def names(store, now_s=None):
    return [found.pack.name for found in store.load(now_s).packs]


def test_installed_policy_is_loaded(store, signed):
    assert store.install(signed()).pack.name == "us-xx/3"
    assert names(store) == ["us-xx/3"]


@pytest.mark.parametrize("version", [2, 3])
def test_roll_back_and_replay_are_refused(store, signed, version):
    store.install(signed())
    with pytest.raises(SignedFileError, match="not above 3"):
        store.install(signed(version=version))
    assert names(store) == ["us-xx/3"]


def test_old_file_put_back_by_hand_does_not_hold(store, signed):
    old = signed().read_bytes()
    store.install(signed())
    store.install(signed(version=4))
    (store.folder / "us-xx.lprpol").write_bytes(old)
    assert names(store) == []
    assert "not above" in store.load().problems[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": OTHER}, "Is it of another agency"),
        ({"units": ("van-*",)}, "this unit is unit-07"),
        ({"expires_s": NOW_S + 1}, "has expired"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(store, signed, changes, words):
    store.install(signed(name="first.lprpol"))
    with pytest.raises(SignedFileError, match=words):
        store.install(signed(version=9, **changes), NOW_S + 60)
    assert names(store) == ["us-xx/3"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:40], lambda data: data + b"x", lambda _: b""]
)
def test_cut_or_altered_file_is_refused(store, signed, damage):
    path = signed()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises((SignedFileError, PolicyError)):
        store.install(path)
    assert not store.folder.exists()


def test_damaged_file_in_the_folder_is_a_problem_and_the_others_hold(store, signed):
    store.install(signed())
    store.install(signed(id="us-yy"))
    (store.folder / "us-xx.lprpol").write_bytes(b"damaged")
    assert names(store) == ["us-yy/3"]
    assert store.load().problems[0].startswith("us-xx.lprpol: ")


def test_policy_expires_while_it_is_in_force(store, signed):
    """The strict default holds then; what was recorded keeps its own expiry."""
    store.install(signed(expires_s=NOW_S + 100), NOW_S)
    in_force = PoliciesInForce(store, "Example Sheriff")
    assert in_force().names == ("us-xx/3",)
    assert not in_force.reload(NOW_S + 99)
    assert in_force.reload(NOW_S + 100)
    assert in_force().names == ("strict/1",)
    assert "has expired" in in_force.problems[0]
    assert not in_force.reload(NOW_S + 101)


def test_policy_dropped_by_a_wrong_time_holds_again_when_the_time_is_corrected(store, signed):
    """A receiver may be years ahead for minutes; without it the strict default would hold until the next start."""
    store.install(signed(expires_s=NOW_S + 100), NOW_S)
    in_force = PoliciesInForce(store, "Example Sheriff")
    assert in_force.reload(NOW_S + 10**8)
    assert in_force().names == ("strict/1",)
    assert not in_force.reload(None), "an unknown time says nothing new"
    assert in_force.reload(NOW_S)
    assert (in_force().names, in_force.problems) == (("us-xx/3",), ())


def test_new_file_is_taken_over_without_a_restart(store, signed):
    in_force = PoliciesInForce(store, "Example Sheriff")
    assert in_force().names == ("strict/1",)
    assert not in_force.reload(None)
    store.install(signed())
    assert in_force.reload(None)
    assert in_force().names == ("us-xx/3",)


def test_without_a_key_no_policy_is_accepted(tmp_path, signed):
    assert load_policy_keys(tmp_path / "none.pub") == []
    store = PolicyStore(tmp_path / "policy", [], unit="unit-07")
    with pytest.raises(SignedFileError, match="accepted here: none"):
        store.install(signed())


def test_damaged_versions_are_no_reason_to_stop(store, signed):
    store.install(signed())
    for content in (b"", b"[]", b'{"us-xx": "x"}', b"\xff"):
        (store.folder / "versions.json").write_bytes(content)
        assert names(store) == ["us-xx/3"]
    store.install(signed(version=4))
    assert json.loads((store.folder / "versions.json").read_bytes()) == {"us-xx": 4}


def test_offered_policy_is_verified_then_installed(store, signed, tmp_path):
    kind = policy_kind(store, tmp_path / "fetched", lambda: NOW_S)
    kind.verify(signed())
    kind.on_installed(signed())
    assert names(store) == ["us-xx/3"]
    with pytest.raises(FileRefusedError, match="not above 3"):
        kind.verify(signed())
    with pytest.raises(FileRefusedError, match="another agency"):
        kind.verify(signed(version=4, key=OTHER))
    with pytest.raises(FileRefusedError, match="has expired"):
        policy_kind(store, tmp_path / "fetched", lambda: NOW_S + 60).verify(
            signed(version=4, expires_s=NOW_S + 60)
        )


def test_file_fetched_before_a_power_cut_is_installed_at_the_start(store, signed, tmp_path):
    fetched = tmp_path / FETCHED
    signed(name=FETCHED)
    install_fetched(store, fetched)
    assert names(store) == ["us-xx/3"]
    install_fetched(store, fetched)
    install_fetched(store, tmp_path / "none")
    assert names(store) == ["us-xx/3"]


def test_doctor_says_which_policy_holds(store, signed, tmp_path):
    """A unit without one, one with a damaged one, and one that keeps everything are not in order."""
    public = tmp_path / "policy.pub"
    public.write_bytes(KEY.public.pem())
    table = {
        "unit": "unit-07",
        "agency": "Example Sheriff",
        "state_dir": str(store.folder.parent),
        "hw": {"cameras": [{"kind": "pi"}]},
    }

    def found(**policy):
        step = checks._policy(parse_config({**table, "policy": {"key": str(public), **policy}}, "test"))
        return step.mark, step.detail

    assert found(mode="off")[0] is Mark.WARN
    mark, detail = found()
    assert (mark, "only hits are kept" in detail) == (Mark.WARN, True)
    store.install(signed())
    assert found() == (Mark.OK, "in force: us-xx/3")
    (store.folder / "us-zz.lprpol").write_bytes(b"damaged")
    mark, detail = found()
    assert (mark, "us-zz.lprpol" in detail) == (Mark.FAIL, True)
