"""What the agent writes is its owner's alone, by hand and under systemd, and root's services can still use it."""

from __future__ import annotations

from cli import run
from tests.conftest import ROOT

UNITS = ROOT / "systemd"


def values(name: str, key: str) -> list[str]:
    """Values of a key of a systemd unit."""
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_run_has_the_umask_of_its_service():
    """So that nothing under systemd depends on who sets it."""
    assert values("patrol-lpr.service", "UMask") == [f"{run._OWNER_ONLY:04o}"]


def test_services_that_wait_for_files_of_the_agent_can_read_them():
    """Root without CAP_DAC_OVERRIDE cannot open another user's file of mode 0600 (capabilities(7))."""
    waiting = {path.stem for path in UNITS.glob("*.path")}
    assert waiting == {"patrol-lpr-confirm", "patrol-lpr-poweroff", "patrol-lpr-update"}
    reading = {
        name for name in waiting if not values(f"{name}.service", "ExecStart")[0].startswith("/usr/bin/systemctl ")
    }
    assert reading == {"patrol-lpr-confirm", "patrol-lpr-update"}
    for name in reading:
        (capabilities,) = values(f"{name}.service", "CapabilityBoundingSet")
        assert "CAP_DAC_OVERRIDE" in capabilities.split(), name


def test_folders_that_other_users_look_into_have_their_mode_from_systemd():
    """The path units and readers of the feed look into the runtime folder; the state folder is the agent's alone."""
    assert values("patrol-lpr.service", "RuntimeDirectoryMode") == ["0755"]
    assert values("patrol-lpr.service", "StateDirectoryMode") == ["0700"]


def test_the_look_before_each_start_has_all_of_roots_rights():
    (command,) = values("patrol-lpr.service", "ExecStartPre")
    assert command.startswith("-+")
