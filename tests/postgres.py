"""A real PostgreSQL of the test session's own: a private server on a UNIX socket, and a database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSIONS = Path("/usr/lib/postgresql")
_TEMPLATE = "template_station"
_MEMORY_BYTES = 6 * 2**30


def program(name: str) -> str:
    """A program of the newest installed server; Debian keeps them out of the PATH."""
    for folder in sorted(_VERSIONS.glob("*/bin"), key=lambda found: float(found.parent.name), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    assert found, "PostgreSQL is missing; run: make system-packages"
    return found


def _fast_folder() -> str | None:
    """Memory, if there is enough: a hundred databases are a hundred thousand small files."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _MEMORY_BYTES else None


class Postgres:
    """A server in a folder of its own, which can be stopped, killed and started again."""

    def __init__(self, folder: Path | None = None, *, settings: str = "") -> None:
        # A UNIX socket's path has at most 107 bytes, and pytest's folders are long.
        self.folder = folder or Path(tempfile.mkdtemp(prefix="lpr-pg-", dir=_fast_folder()))
        self.data = self.folder / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        self._numbers = count(1)
        self._made: list[str] = []
        self._settings = (
            f"unix_socket_directories = '{self.folder}'\nlisten_addresses = ''\nmax_connections = 200\n"
            f"log_min_messages = fatal\nshared_buffers = 256MB\n{settings}\n"
        )

    @property
    def owner(self) -> int:
        """The server does not run as root."""
        return pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid()

    def run(self, *command: str) -> None:
        """As the server's user; its output is shown if it fails."""
        done = subprocess.run(
            command, user=self._user, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        assert done.returncode == 0, done.stdout.decode()

    def create(self) -> Postgres:
        self.folder.mkdir(exist_ok=True)
        os.chown(self.folder, self.owner, -1)
        self.run(
            program("initdb"), "--pgdata", str(self.data), "--username", "station", "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(self._settings)
        return self

    def start(self) -> Postgres:
        # The log goes to a file: a pipe would be held open by the server.
        log = str(self.folder / "log")
        self.run(program("pg_ctl"), "start", "--pgdata", str(self.data), "--log", log, "--wait", "--silent")
        return self

    def stop(self, mode: str = "immediate") -> None:
        """``immediate`` is a crash."""
        self.run(program("pg_ctl"), "stop", "--pgdata", str(self.data), "--mode", mode, "--silent")

    def remove(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def address(self, database: str = "postgres") -> str:
        return f"postgresql://station@/{database}?host={self.folder}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def make_template(self, prepare: Callable[[str], None]) -> None:
        """``prepare`` gets the address of a database, of which every new one is a copy."""
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        prepare(self.address(_TEMPLATE))

    def new_database(self) -> str:
        """The address of a database that no test has seen."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        self._made.append(name)
        return self.address(name)

    def drop_databases(self) -> None:
        """What tests have made."""
        while self._made:
            self.execute(f"DROP DATABASE {self._made.pop()} WITH (FORCE)")
