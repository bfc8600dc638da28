"""The tables' versions, as Alembic migrations that the station runs itself when it opens a database.

``versions/`` holds one script a version.  A script that was released is never changed, and none imports
``station.store.tables``, which will have moved on when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

LATEST = 4
"""Number of the latest script.  Versions 1 to 3 were made by stations before 0.3, without Alembic."""


def upgrade(connection: Connection, scripts: Path = Path(__file__).parent) -> None:
    """Bring the database to the latest version, inside the caller's transaction."""
    from alembic import command  # noqa: PLC0415 - needed once in a database's life, and slow to import
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    command.upgrade(config, "head")
