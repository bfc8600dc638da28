"""How commands end: what systemd and scripts are told."""

from __future__ import annotations

import pytest

from cli import main


@pytest.mark.usefixtures("fresh_logging")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('unit = "unit-07"\nagency = "Example"\nspeed = 3\n[[hw.cameras]]\nkind = "sim"\n', main.EXIT_CONFIG),
        (
            'unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "folder"\npath = "/nowhere"\n',
            main.EXIT_FAILED,
        ),
    ],
)
def test_exit_status_of_invalid_configuration(tmp_path, monkeypatch, capsys, text, code):
    """A camera may come back, so the service is started again; a wrong key stays wrong."""
    path = tmp_path / "config.toml"
    path.write_text(f'state_dir = "{tmp_path}"\n{text}[seal]\nmode = "off"\n')
    monkeypatch.setattr("sys.argv", ["patrol-lpr", "run", "--config", str(path)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("patrol-lpr: ")


def test_service_is_not_restarted_on_invalid_configuration(repo):
    service = (repo / "systemd/patrol-lpr.service").read_text()
    assert f"RestartPreventExitStatus={main.EXIT_CONFIG}\n" in service
