"""Alembic migrations, which the station runs when it opens a database.

``versions/`` has one script per version.  Released scripts are never changed, and none imports
``station.store.tables``, which may have changed since.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

LATEST = 17
"""Number of the latest script.  Versions 1 to 3 are from stations before 0.3, without Alembic."""


def upgrade(connection: Connection, scripts: Path = Path(__file__).parent) -> None:
    """Migrate the database to the latest version, inside the caller's transaction."""
    from alembic import command  # noqa: PLC0415 - needed once in a database's life, and slow to import
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    command.upgrade(config, "head")
