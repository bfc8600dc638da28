"""An emulated board: its console line by line, a shell, its pins, its serial receiver, its watchdog, its power."""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from tests.chroot import tool

if TYPE_CHECKING:
    from pathlib import Path

_CONNECT_TRIES = 200
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Guest:
    """One run of QEMU.  Everything waits for something to happen, at most as long as it is told."""

    def __init__(self, name: str, folder: Path, arguments: list[str], *, qtest: bool = False) -> None:
        """``arguments`` say which board; chardevs ``gnss`` and ``shell`` are there to be wired to it."""
        self.console = folder / f"{name}.console.txt"
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        sockets = {part: folder / f"{name}.{part}" for part in ("gnss", "shell", "qmp", "qtest")}
        command = [
            tool("qemu-system-aarch64"), "-display", "none", "-monitor", "none", "-serial", "stdio",
            "-chardev", f"socket,id=gnss,path={sockets['gnss']},server=on,wait=off",
            "-chardev", f"socket,id=shell,path={sockets['shell']},server=on,wait=off",
            "-qmp", f"unix:{sockets['qmp']},server=on,wait=off", *arguments,
        ]  # fmt: skip
        if qtest:
            command += ["-qtest", f"unix:{sockets['qtest']},server=on,wait=off", "-qtest-log", "none"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.gnss, self._shell, self._qmp = (self._connect(sockets[part]) for part in ("gnss", "shell", "qmp"))
            self._qtest = self._connect(sockets["qtest"]) if qtest else None
        except BaseException:
            self.kill()
            raise
        self._from_shell = self._shell.makefile("r", errors="replace")
        self._from_qmp = self._qmp.makefile("r")
        self._commands = 0
        self._from_qmp.readline()
        self._ask_qmp("qmp_capabilities")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self.console.open("w") as file:
            for raw in self._process.stdout:
                line = _CONTROL.sub("", raw.decode(errors="replace")).rstrip("\n")
                file.write(line + "\n")
                file.flush()
                self.lines.append(line)
                self._new.put(line)
        self._new.put(None)

    def _connect(self, path: Path) -> socket.socket:
        for _ in range(_CONNECT_TRIES):
            made = socket.socket(socket.AF_UNIX)
            try:
                made.connect(str(path))
            except OSError:
                made.close()
                try:
                    self._process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"QEMU ended: {self.console.read_text()}") from None
            else:
                return made
        raise AssertionError(f"QEMU offers no {path}")

    def until(self, pattern: str, *, timeout_s: float) -> re.Match[str]:
        """Wait for a line of the console that nobody has waited for yet."""
        wanted = re.compile(pattern)
        timer = threading.Timer(timeout_s, self._new.put, (None,))
        timer.start()
        try:
            while (line := self._new.get()) is not None:
                if found := wanted.search(line):
                    return found
        finally:
            timer.cancel()
        last = "\n".join(self.lines[-25:])
        raise AssertionError(f"no {pattern!r} within {timeout_s:g} s or until the end; {self.console}:\n{last}")

    def await_shell(self, *, timeout_s: float) -> None:
        """Wait until this boot's shell listens: what is sent before is lost."""
        self._shell.settimeout(timeout_s)
        while (line := self._from_shell.readline()).strip() != "shell":
            assert line, f"{self.console.stem}: no shell will come"

    def tell(self, command: str) -> None:
        """As ``sh``, for a command that nothing comes back from."""
        self._shell.sendall(f"{command}\n".encode())

    def sh(self, command: str, *, timeout_s: float = 120) -> str:
        """Run in the guest as root; return what it printed."""
        self._commands += 1
        mark = f"done-{self._commands}"
        self._shell.settimeout(timeout_s)
        self._shell.sendall(f"{command}\necho {mark}\n".encode())
        said: list[str] = []
        while (line := self._from_shell.readline()) and line.strip() != mark:
            said.append(line.rstrip("\r\n"))
        assert line, f"the shell of {self.console.stem} ended"
        return "\n".join(said)

    def _ask_qmp(self, command: str, **arguments: Any) -> Any:
        self._qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._qmp.settimeout(30)
        while True:
            told = json.loads(self._from_qmp.readline())
            if "event" not in told:
                return told["return"]

    def event(self, name: str, *, timeout_s: float) -> dict[str, Any]:
        """Wait for something that QEMU tells of itself, such as WATCHDOG or SHUTDOWN; return what it says."""
        self._qmp.settimeout(timeout_s)
        while True:
            told = json.loads(self._from_qmp.readline())
            if told.get("event") == name:
                data: dict[str, Any] = told.get("data", {})
                return data

    def devices(self) -> dict[str, str]:
        """Path -> type of what QEMU put on the board by itself."""
        home = "/machine/unattached"
        rows = self._ask_qmp("qom-list", path=home)
        return {f"{home}/{row['name']}": row["type"].removeprefix("child<").rstrip(">") for row in rows}

    def set_pin(self, device: str, line: int, *, high: bool) -> None:
        """Drive an input of a GPIO controller, as a wire would."""
        assert self._qtest is not None
        self._qtest.sendall(f"set_irq_in {device} unnamed-gpio-in {line} {int(high)}\n".encode())
        self._qtest.settimeout(30)
        assert self._qtest.recv(100).startswith(b"OK")

    def ended(self, *, timeout_s: float) -> int:
        """Wait for QEMU to end by itself; return its exit code."""
        code = self._process.wait(timeout_s)
        self._close()
        return code

    def kill(self) -> None:
        """SIGKILL, as good as a cut cable."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        for name in ("gnss", "_shell", "_qmp", "_qtest", "_from_shell", "_from_qmp"):
            made = getattr(self, name, None)
            if made is not None:
                made.close()
