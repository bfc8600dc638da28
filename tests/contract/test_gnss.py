"""What every receiver promises: the simulated one, and the serial one on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty

import pytest

from hw.absent import GnssAbsent
from hw.clock import RealClock, SimClock
from hw.drive_load import load_drive
from hw.gnss_serial import GnssSerial
from hw.gnss_sim import GnssSim
from hw.ports import GnssLostError
from tests.drive_builder import write_drive
from tests.nmea_lines import gga, rmc


class OnPty:
    """A serial receiver whose other end the test holds."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        self._slave = slave
        self.gnss = GnssSerial(self.name, 9600, RealClock())

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def unplug(self) -> None:
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def serial():
    wire = OnPty()
    yield wire
    wire.gnss.close()


def test_sentences_come_whole_and_in_order(serial):
    """Cut anywhere on the wire, joined again here; line ends are gone."""
    first, second = rmc(), gga()
    data = f"{first}\r\n{second}\r\n".encode()
    serial.gnss.next_line(timeout_s=0)
    serial.say(data[:17])
    serial.say(data[17:])
    lines = [serial.gnss.next_line(timeout_s=5.0) for _ in range(2)]
    assert [line.text for line in lines] == [first, second]
    assert lines[0].t_mono_ns <= lines[1].t_mono_ns


def test_garbage_comes_through_as_it_is(serial):
    """The parser counts it; the receiver does not judge."""
    serial.gnss.next_line(timeout_s=0)
    serial.say(b"\xff\xfe$GPxx\x00\r\n")
    line = serial.gnss.next_line(timeout_s=5.0)
    assert "$GPxx" in line.text


def test_an_endless_line_is_dropped_and_counted(serial):
    """A receiver at the wrong baud rate cannot fill the memory."""
    serial.gnss.next_line(timeout_s=0)
    for _ in range(8):
        serial.say(b"x" * 100)
        serial.gnss.next_line(timeout_s=0.05)
    serial.say(f"\n{rmc()}\n".encode())
    assert serial.gnss.next_line(timeout_s=5.0).text == rmc()
    assert serial.gnss.dropped_lines == 1


def test_unplugging_is_said_and_heals():
    """GnssLostError while the device is gone; the next one opens it again."""
    wire = OnPty()
    wire.gnss.next_line(timeout_s=0)
    wire.unplug()
    for _ in range(2):
        with pytest.raises(GnssLostError, match="plugged in"):
            wire.gnss.next_line(timeout_s=5.0)
    with pytest.raises(GnssLostError):
        wire.gnss.next_line(timeout_s=0.05)
    wire.gnss.close()


@pytest.mark.parametrize("kind", ["sim", "serial", "absent"])
def test_silence_is_none_and_close_ends_it(tmp_path, kind):
    """No sentence in time is None, and so is a closed receiver; closing twice is fine."""
    wire = OnPty() if kind == "serial" else None
    drive = load_drive(write_drive(tmp_path / "drive", gnss_from_s=99)) if kind == "sim" else None
    gnss = wire.gnss if wire else GnssSim(drive, SimClock()) if drive else GnssAbsent()
    assert gnss.next_line(timeout_s=0.01) is None
    gnss.close()
    gnss.close()
    assert gnss.next_line(timeout_s=5.0) is None


def test_a_simulated_receiver_keeps_the_drives_time(tmp_path):
    """Sentences come at their time, not before."""
    clock = SimClock()
    gnss = GnssSim(load_drive(write_drive(tmp_path / "drive")), clock)
    assert gnss.next_line(timeout_s=0.05) is None
    line = gnss.next_line(timeout_s=1.0)
    assert line.t_mono_ns == clock.mono_ns() == 80_000_000
