"""Staged beside what runs, switched by one rename, committed or rolled back; one whole release runs in any case."""

from __future__ import annotations

import errno
import hashlib
import inspect
import io
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.runtime.config import AgentConfig, load_config
from cli.update import app, fetched_update, take
from protocol.errors import UpdateError
from tests.conftest import ROOT
from tests.update_builder import NOW_S, WHEEL, PowerCutError, Unit
from updater import releases as releases_module
from updater.errors import ReleaseError
from updater.release_state import CONFIRMED, INBOX, State, Trial
from updater.releases import MAX_STARTS, Releases, confirmed_release, main
from updater.staging import Site, apply

CONFIG = "[log]\nlevel = 'debug'\n"


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path)


def leftovers(unit: Unit) -> set[str]:
    """Everything below the home that no kept release refers to."""
    used = {str(p.resolve()) for p in (unit.home / "releases").glob("*/*") if p.is_symlink()}
    return {str(p) for kind in ("code", "models") for p in (unit.home / kind).glob("*")} - used


def test_update_runs_on_trial_and_is_committed_when_healthy(unit):
    made = unit.apply(unit.update(42, wheel=b"new", models=ROOT / "models", config=CONFIG))
    assert made.release == 42
    assert (unit.releases.current, unit.releases.committed) == (42, 0)
    assert WHEEL in unit.runs()
    folder = unit.releases.folder(42)
    assert (folder / "models/active.toml").read_bytes() == (ROOT / "models/active.toml").read_bytes()
    assert (folder / "config.toml").read_text() == CONFIG
    assert unit.releases.start()
    unit.releases.commit(42)
    assert (unit.releases.current, unit.releases.committed) == (42, 42)
    state = unit.releases.load()
    assert (state.floor, state.previous, state.last_outcome, state.commits) == (42, 0, "committed", 1)
    assert not unit.releases.start(), "it is no longer on trial"


def test_omitted_parts_come_from_running_release(unit):
    unit.commit(unit.update(1, wheel=b"one", models=ROOT / "models"))
    unit.commit(unit.update(2, config=CONFIG))
    two = unit.releases.folder(2)
    assert (two / "code").resolve() == unit.home / "code/1"
    assert (two / "models").resolve() == unit.home / "models/1"
    unit.commit(unit.update(3, wheel=b"three"))
    three = unit.releases.folder(3)
    assert (three / "config.toml").read_text() == CONFIG
    assert not (three / "models").exists(), "new code includes its own models"
    assert not leftovers(unit), "what nobody refers to is gone"
    assert sorted(p.name for p in (unit.home / "releases").iterdir()) == ["2", "3"]


def test_omitted_wheels_come_from_running_release(unit):
    unit.commit(unit.update(1, wheel=b"one"))
    delta = unit.update(2, wheel=b"two", base=unit.made)
    unit.commit(delta)
    wheels = unit.home / "code/2/wheels"
    assert sorted(p.name for p in wheels.iterdir()) == ["numpy-1.26.4-py3-none-any.whl", WHEEL]
    other = Unit(unit.folder / "other")
    other.site = Site(unit.key.public, other.site.config)
    with pytest.raises(UpdateError, match="needs release 1"):
        other.apply(delta)


def test_missing_or_different_base_wheel_is_refused(unit):
    unit.commit(unit.update(1, wheel=b"one"))
    held_wheel = unit.home / "code/1/wheels/numpy-1.26.4-py3-none-any.whl"
    held_wheel.write_bytes(b"tampered with on the unit")
    with pytest.raises(UpdateError, match="without --base"):
        unit.apply(unit.update(2, wheel=b"two", base=unit.made))
    assert unit.releases.current == 1


@pytest.mark.parametrize("starts", range(MAX_STARTS + 1))
def test_unhealthy_release_is_rolled_back_after_max_starts(unit, starts):
    """A crash loop, a watchdog, power cuts: each start counts, whatever ended it."""
    unit.commit(unit.update(41, wheel=b"good"))
    unit.apply(unit.update(42, wheel=b"bad"))
    trial = [unit.releases.start() for _ in range(starts + 1)]
    assert trial == [True] * min(starts + 1, MAX_STARTS) + [False] * (starts + 1 > MAX_STARTS)
    if starts < MAX_STARTS:
        assert unit.releases.current == 42
        return
    assert (unit.releases.current, unit.releases.committed) == (41, 41)
    state = unit.releases.load()
    assert (state.last_outcome, state.last_release, state.roll_backs) == ("rolled_back", 42, 1)
    assert "3 starts" in state.last_reason
    with pytest.raises(UpdateError, match="was rolled back here"):
        unit.apply(unit.update(42, wheel=b"bad"))
    assert unit.apply(unit.update(42, wheel=b"bad"), anyway=True).release == 42, "a person's word counts"


def test_unhealthy_release_is_rolled_back_after_timeout(unit):
    unit.apply(unit.update(42, wheel=b"blind"))
    unit.releases.start()
    assert unit.releases.fail("not healthy in time")
    assert unit.releases.current == 0
    assert not unit.releases.fail("not healthy in time"), "once"
    assert unit.releases.load().roll_backs == 1


def test_only_the_release_on_trial_can_be_committed(unit):
    for wrong in (0, 41, 42):
        with pytest.raises(ReleaseError, match="not on trial"):
            unit.releases.commit(wrong)
    unit.apply(unit.update(42, config=CONFIG))
    with pytest.raises(ReleaseError, match="not on trial"):
        unit.releases.commit(41)


def test_update_is_refused_during_a_trial(unit):
    unit.apply(unit.update(42, config=CONFIG))
    with pytest.raises(UpdateError, match="on trial: wait"):
        unit.apply(unit.update(43, config=CONFIG))
    assert unit.releases.load().trial == Trial(42), "and the trial goes on"
    assert unit.releases.start()


def test_manual_rollback_to_previous_release(unit):
    unit.commit(unit.update(1, wheel=b"one"))
    unit.commit(unit.update(2, wheel=b"two"))
    assert unit.releases.return_to_previous() == 1
    assert (unit.releases.current, unit.releases.committed) == (1, 1)
    with pytest.raises(ReleaseError, match="no release to roll back to"):
        unit.releases.return_to_previous()
    with pytest.raises(UpdateError, match="not above 2"):
        unit.apply(unit.update(2, wheel=b"two"))


@pytest.mark.parametrize("older", [1, 2])
def test_older_release_is_refused_without_changes(unit, older):
    first, second = unit.update(1, wheel=b"one"), unit.update(2, wheel=b"two")
    unit.commit(first)
    unit.commit(second)
    with pytest.raises(UpdateError):
        unit.apply(first if older == 1 else second)
    assert unit.releases.folder(1).is_dir(), "the release before is still there to go back to"
    assert unit.releases.return_to_previous() == 1


def test_update_failing_its_own_checks_leaves_nothing(unit):
    unit.tools.wrong = "config.toml: hw.cameras: unknown key"
    with pytest.raises(UpdateError, match="unknown key"):
        unit.apply(unit.update(42, wheel=b"new", config=CONFIG))
    assert unit.releases.current == 0
    assert not leftovers(unit)
    state = unit.releases.load()
    assert (state.last_release, state.last_outcome, state.refusals) == (42, "refused", 1)
    assert "unknown key" in state.last_reason


def test_disk_full_while_staging_leaves_nothing(unit, monkeypatch):
    def full(folder, wheels):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unit.tools, "make_environment", full)
    with pytest.raises(UpdateError, match=r"cannot be staged: .*No space left"):
        unit.apply(unit.update(42, wheel=b"new", config=CONFIG))
    assert unit.releases.current == 0
    assert not leftovers(unit)
    assert unit.releases.load().refusals == 1


@pytest.mark.parametrize("at", ["wheel", "middle", "end"])
def test_altered_or_truncated_payload_leaves_nothing(unit, at):
    data = bytearray(unit.update(42, wheel=b"new" * 1000, config=CONFIG))
    if at == "end":
        del data[-1]
    else:
        data[-1 if at == "middle" else data.index(b"newnew")] ^= 1
    with pytest.raises(UpdateError, match=r"altered|truncated"):
        unit.apply(bytes(data))
    assert unit.releases.current == 0
    assert not leftovers(unit)
    assert not unit.releases.folder(42).exists()


def test_disk_full_is_reported_before_writing(unit, monkeypatch):
    monkeypatch.setattr("updater.staging.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(UpdateError, match="are needed"):
        unit.apply(unit.update(42, wheel=b"new"))


class Usage:
    free = 1


def test_update_without_configuration_is_refused(unit):
    unit.site.config.unlink()
    with pytest.raises(UpdateError, match="has no unit"):
        unit.apply(unit.update(42, config=CONFIG))


PARTS = {"wheel": b"new", "models": ROOT / "models", "config": CONFIG}


def whole_life(unit: Unit, *, cut_at: int | None, ending: str) -> None:
    """Release 1 committed; release 2 applied, started, and either committed or failed; then a power cut at a step."""
    unit.commit(unit.update(1, wheel=b"old"))
    data = unit.update(2, **PARTS)
    unit.steps.clear()
    unit.cut_at = cut_at
    unit.apply(data)
    unit.releases.start()
    if ending == "well":
        unit.releases.commit(2)
    elif ending == "ill":
        unit.releases.fail("not healthy in time")
    else:
        unit.releases.commit(2)
        unit.releases.return_to_previous()


def count_of_steps(ending: str, folder) -> int:
    unit = Unit(folder)
    whole_life(unit, cut_at=None, ending=ending)
    return len(unit.steps)


def check_whole(unit: Unit) -> None:
    """Whatever runs next is complete, and agrees with the notes."""
    current, committed = unit.releases.current, unit.releases.committed
    assert {current, committed} <= {1, 2}
    text = unit.runs()
    assert WHEEL in text
    folder = unit.releases.folder(current)
    assert (folder / "models").exists() == (folder / "config.toml").exists() == (current == 2)
    for path in folder.rglob("*"):
        assert not path.is_symlink() or path.exists(), f"{path} leads nowhere"
    if current != committed:
        assert unit.releases.load().trial is not None


def check_noted(unit: Unit, step: str) -> None:
    """Once a step has decided the matter, the next start ends it: links, floor and counts as without a cut."""
    state, runs = unit.releases.load(), (unit.releases.current, unit.releases.committed)
    if step in {"failure noted", "went back", "roll-back noted"}:
        assert (runs, state.last_outcome, state.failed, state.roll_backs) == ((1, 1), "rolled_back", (2,), 1), step
    elif step in {"committed", "commit noted", "pruned"}:
        assert (runs, state.last_outcome, state.floor, state.commits) == ((2, 2), "committed", 2, 2), step
    elif step in {"committed went back", "current went back"}:
        assert runs == (1, 1), step


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["well", "ill", "back"])
def test_power_cut_at_any_step_leaves_complete_release_and_update_is_repeatable(tmp_path, ending):
    """Every step of staging, switching, committing and going back; the next start decides, a second try succeeds."""
    steps = count_of_steps(ending, tmp_path / "count")
    assert steps >= 18
    for at in range(1, steps + 1):
        unit = Unit(tmp_path / f"cut-{at}")
        with pytest.raises(PowerCutError) as cut:
            whole_life(unit, cut_at=at, ending=ending)
        step = str(cut.value)
        unit.cut_at = None
        on_trial = unit.releases.start()
        check_whole(unit)
        assert on_trial == (unit.releases.current != unit.releases.committed), step
        before = unit.releases.load()
        check_noted(unit, step)
        if unit.releases.committed == 1 and not before.failed:
            # Nothing was decided yet: with the file still there the same thing happens to the end.
            if not on_trial:
                unit.apply((unit.folder / "2.lprup").read_bytes(), anyway=before.floor == 2)
                assert unit.releases.start()
            unit.releases.commit(2)
            assert (unit.releases.current, unit.releases.committed) == (2, 2), step
        assert not unit.releases.start()
        check_whole(unit)
        assert not unit.releases.start(), "and it stays so"


def test_lost_state_uses_committed_release(unit):
    unit.commit(unit.update(1, wheel=b"one"))
    unit.apply(unit.update(2, wheel=b"two"))
    (unit.home / "state.json").write_bytes(b"\0" * 40)
    assert not unit.releases.start()
    assert (unit.releases.current, unit.releases.load().last_outcome) == (1, "rolled_back")
    assert unit.releases.load().floor == 1, "the protection against going back survives"


def test_state_of_newer_version_is_read_where_known(unit):
    told = {**asdict(State(floor=9, failed=(3,))), "hue": "blue"}
    (unit.home / "state.json").write_text(json.dumps(told))
    assert unit.releases.load() == State(floor=9, failed=(3,))


def test_repeated_installer_commits_release_0(unit):
    unit.commit(unit.update(1, wheel=b"one"))
    unit.apply(unit.update(2, wheel=b"two"))
    unit.releases.adopt()
    assert (unit.releases.current, unit.releases.committed, unit.runs()) == (0, 0, "installed")
    assert not unit.releases.start()
    assert unit.releases.load().floor == 1


def test_systemd_entry_points(unit, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(releases_module, "_systemctl", lambda *words: calls.append(words))
    monkeypatch.setattr(releases_module, "CONFIRMED", tmp_path / "confirmed")
    monkeypatch.setattr(releases_module.confirmed_release, "__defaults__", (tmp_path / "confirmed",))
    unit.apply(unit.update(1, config=CONFIG))
    assert main(["start"], unit.releases) == 0
    assert calls == [("restart", "patrol-lpr-trial.timer")]
    assert main(["commit"], unit.releases) == 1, "the agent has not said that it is well"
    (tmp_path / "confirmed").write_text("1")
    assert main(["commit"], unit.releases) == 0
    assert (unit.releases.committed, (tmp_path / "confirmed").exists()) == (1, False)
    assert main(["expire"], unit.releases) == 0
    assert len(calls) == 1, "nothing was on trial: nothing is restarted"
    unit.apply(unit.update(2, config=CONFIG))
    assert main(["expire"], unit.releases) == 0
    assert calls[1:] == [("restart", "patrol-lpr.service")]
    assert unit.releases.current == 1
    assert main(["adopt"], unit.releases) == 0
    assert main(["nonsense"], unit.releases) == 2
    assert main(["start"], Releases(tmp_path / "nowhere")) == 1
    assert "install.sh" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["link", "pipe", "text", "missing"])
def test_confirmation_file_must_contain_a_number(tmp_path, what):
    path = tmp_path / "confirmed"
    if what == "link":
        (tmp_path / "other").write_text("42")
        path.symlink_to(tmp_path / "other")
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "text":
        path.write_text("forty-two")
    with pytest.raises(ReleaseError):
        confirmed_release(path)


def test_inbox_links_are_not_followed(tmp_path):
    folder = tmp_path / "updates"
    folder.mkdir()
    inbox = folder / "inbox.lprup"
    inbox.write_bytes(b"some update")
    with fetched_update(inbox) as file:
        assert file.read() == b"some update"
    assert not inbox.exists(), "looked at, gone"
    (tmp_path / "secret").write_text("root's")
    inbox.symlink_to(tmp_path / "secret")
    with pytest.raises(UpdateError), fetched_update(inbox):
        pass
    assert (tmp_path / "secret").exists()
    assert not inbox.is_symlink()
    os.mkfifo(inbox)
    with pytest.raises(UpdateError, match="no file"), fetched_update(inbox):
        pass
    inbox.write_bytes(b"x")
    (tmp_path / "elsewhere").symlink_to(folder)
    with pytest.raises(UpdateError), fetched_update(tmp_path / "elsewhere" / "inbox.lprup"):
        pass
    assert inbox.exists()


def test_a_device_is_never_deleted(monkeypatch):
    """`update take --inbox /dev/null` by root deleted it, for the whole machine."""
    monkeypatch.setattr("cli.update.os.unlink", lambda name, **_: pytest.fail(f"{name} deleted"))
    for device in (Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(UpdateError, match="no file"), fetched_update(device):
            pass


def test_inbox_path_matches_the_agents(repo):
    left = inspect.signature(take).parameters["inbox"].default
    assert left == AgentConfig.model_fields["state_dir"].default / INBOX
    assert f"PathExists={left}\n" in (repo / "systemd/patrol-lpr-update.path").read_text()
    assert f"PathExists={CONFIRMED}\n" in (repo / "systemd/patrol-lpr-confirm.path").read_text()


def test_commands_apply_status_confirm_rollback(unit, monkeypatch):
    (unit.folder / "release.pub").write_bytes(unit.key.public.pem())
    unit.update(42, config=CONFIG)
    monkeypatch.setattr("cli.update.RealTools", lambda: unit.tools)
    monkeypatch.setattr("cli.update.time.time", lambda: NOW_S)
    home = ["--home", str(unit.home)]
    where = [*home, "--key", str(unit.folder / "release.pub"), "--config", str(unit.site.config)]

    def said(*words):
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    assert "release 0, committed" in said("status", *home)
    inbox = unit.folder / "inbox.lprup"
    inbox.write_bytes((unit.folder / "42.lprup").read_bytes())
    assert "release 42 is staged" in said("take", "--inbox", str(inbox), *where)
    assert not inbox.exists()
    assert "release 42 on trial, started 0 of 3 times; 0 is committed" in said("status", *home)
    assert "42 is committed" in said("confirm", *home)
    assert "release 0 is used" in said("rollback", *home)
    told = said("status", *home)
    assert "1 committed, 1 rolled back, 0 refused; updates must be above 42" in told
    assert "on trial from the next start" in said("apply", str(unit.folder / "42.lprup"), "--anyway", *where)


def test_release_configuration_is_merged_over_unit_configuration(unit, tmp_path):
    over = tmp_path / "over.toml"
    over.write_text(
        "[log]\nlevel = 'debug'\n[hw.gnss]\nkind = 'none'\n[[hw.cameras]]\nkind = 'sim'\nname = 'rear'\n"
    )
    config = load_config(unit.site.config, ["track.lost_ms=900"], over=over)
    assert (config.unit, config.log.level, config.track.lost_ms) == ("unit-07", "debug", 900)
    assert [camera.name for camera in config.hw.cameras] == ["rear"], "lists are replaced whole"
    assert load_config(unit.site.config, over=tmp_path / "missing.toml").log.level == "info"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("format = 2\n", "format 2, this version reads 1: update the program first"),
        ("unit = 'unit-08'\n", "unit cannot be changed by an update"),
        ("[policy]\nmode = 'off'\n", "policy cannot be changed by an update"),
        ("[seal]\nmode = 'off'\n", "seal cannot be changed by an update"),
        ("[log]\nlevel = 'loud'\n", r"log\.level"),
        ("[new_table]\n", "new_table: unknown key"),
    ],
)
def test_invalid_release_configuration_is_refused_with_reason(unit, tmp_path, text, says):
    over = tmp_path / "over.toml"
    over.write_text(text)
    with pytest.raises(ValueError, match=says):
        load_config(unit.site.config, over=over)


def test_only_hashed_bytes_are_written(unit):
    """The bytes on the disk are the ones that were hashed, even when the file changes while it is read."""
    data = unit.update(42, wheel=b"w" * 500_000)

    class Shifting(io.BytesIO):
        def read(self, size=-1):
            block = super().read(size)
            return block.replace(b"wwww", b"evil") if self.tell() > 300_000 else block

    with pytest.raises(UpdateError, match="altered"):
        apply(Shifting(data), unit.releases, unit.site, unit.tools, now_s=NOW_S)
    assert not leftovers(unit)
    good = unit.apply(data)
    (entry,) = [e for e in good.files if e.name == WHEEL]
    assert hashlib.sha256((unit.home / "code/42/wheels" / WHEEL).read_bytes()).hexdigest() == entry.sha256
