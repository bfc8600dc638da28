"""Where things lie on a unit, unless its configuration says otherwise."""

from __future__ import annotations

from pathlib import Path

CONFIG_DIR = Path("/etc/patrol-lpr")
"""Configuration, keys and certificates."""
CONFIG_FILE = CONFIG_DIR / "config.toml"
STATE_DIR = Path("/var/lib/patrol-lpr")
"""The outbox and all else that is written while the unit works."""
COMMAND_DIR = Path("/run/patrol-lpr-console")
"""Folder of the command socket; its setgid bit gives the socket the group that may send commands."""
FEED_SOCKET = Path("/run/patrol-lpr/feed.sock")
"""The feed of the service."""
