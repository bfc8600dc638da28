"""What every receiver promises: the simulated one, and the serial one on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import socket
import termios
import threading

import pytest

from agent.geotag.nmea import NmeaState
from agent.runtime.gnss import GnssComponent
from agent.runtime.queues import ReadQueue
from agent.runtime.supervisor import Supervisor
from hw.absent import GnssAbsent
from hw.bauds import BAUDS, BaudSearch, is_sentence
from hw.clock import RealClock, SimClock
from hw.config import FixedGnssConfig
from hw.drive_load import load_drive
from hw.gnss_gpsd import GnssGpsd
from hw.gnss_serial import GnssSerial
from hw.gnss_sim import GnssSim
from hw.open import open_gnss
from hw.ports import GnssLostError, NmeaLine
from tests.drive_builder import write_drive
from tests.nmea_lines import gga, rmc


class OnPty:
    """A serial receiver whose other end the test holds."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        self._ends = [self.master, slave]
        self.gnss = GnssSerial(self.name, 9600, RealClock())

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def unplug(self) -> None:
        while self._ends:
            os.close(self._ends.pop())

    def close(self) -> None:
        self.gnss.close()
        self.unplug()


@pytest.fixture
def serial():
    wire = OnPty()
    yield wire
    wire.close()


def test_sentences_are_complete_and_in_order(serial):
    """Cut anywhere on the wire, joined again here; line ends are gone."""
    first, second = rmc(), gga()
    data = f"{first}\r\n{second}\r\n".encode()
    serial.gnss.next_line(timeout_s=0)
    serial.say(data[:17])
    serial.say(data[17:])
    lines = [serial.gnss.next_line(timeout_s=5.0) for _ in range(2)]
    assert [line.text for line in lines] == [first, second]
    assert lines[0].t_mono_ns <= lines[1].t_mono_ns


def test_garbage_is_passed_through(serial):
    """The parser counts it; the receiver does not judge."""
    serial.gnss.next_line(timeout_s=0)
    serial.say(b"\xff\xfe$GPxx\x00\r\n")
    line = serial.gnss.next_line(timeout_s=5.0)
    assert "$GPxx" in line.text


def test_overlong_line_is_dropped_and_counted(serial):
    """A receiver at the wrong baud rate cannot fill the memory."""
    serial.gnss.next_line(timeout_s=0)
    for _ in range(8):
        serial.say(b"x" * 100)
        serial.gnss.next_line(timeout_s=0.05)
    serial.say(f"\n{rmc()}\n".encode())
    assert serial.gnss.next_line(timeout_s=5.0).text == rmc()
    assert serial.gnss.dropped_lines == 1
    published = GnssComponent(serial.gnss, ReadQueue(1), Supervisor(RealClock())).counters()
    assert published["devices.gnss_lines_dropped"] == 1


def test_disconnected_receiver_is_reported_and_reopened():
    """GnssLostError while the device is gone; the next one opens it again."""
    wire = OnPty()
    wire.gnss.next_line(timeout_s=0)
    wire.unplug()
    for _ in range(2):
        with pytest.raises(GnssLostError, match="check that it is connected"):
            wire.gnss.next_line(timeout_s=5.0)
    with pytest.raises(GnssLostError):
        wire.gnss.next_line(timeout_s=0.05)
    wire.gnss.close()


def test_dropped_lines_are_counted_over_all_connections():
    gpsd = FakeGpsd()
    gnss = GnssGpsd("127.0.0.1", gpsd.port, RealClock())
    for connection in (1, 2):
        data = b"x" * 9000 + f"\r\n{rmc()}\r\n".encode()
        thread = threading.Thread(target=gpsd.serve, args=(data,), daemon=True)
        thread.start()
        assert gnss.next_line(timeout_s=5.0).text == rmc()
        assert gnss.dropped_lines == connection
        with pytest.raises(GnssLostError):
            gnss.next_line(timeout_s=5.0)
        thread.join()
    gpsd.server.close()
    gnss.close()
    assert gnss.dropped_lines == 2


@pytest.mark.parametrize("kind", ["sim", "serial", "absent"])
def test_silence_returns_none_and_close_ends_wait(tmp_path, kind):
    """No sentence in time is None, and so is a closed receiver; closing twice is fine."""
    wire = OnPty() if kind == "serial" else None
    drive = load_drive(write_drive(tmp_path / "drive", gnss_from_s=99)) if kind == "sim" else None
    gnss = wire.gnss if wire else GnssSim(drive, SimClock()) if drive else GnssAbsent()
    assert gnss.next_line(timeout_s=0.01) is None
    gnss.close()
    gnss.close()
    assert gnss.next_line(timeout_s=5.0) is None
    if wire:
        wire.close()


def test_simulated_receiver_uses_drive_time(tmp_path):
    """Sentences come at their time, not before."""
    clock = SimClock()
    gnss = GnssSim(load_drive(write_drive(tmp_path / "drive")), clock)
    assert gnss.next_line(timeout_s=0.05) is None
    line = gnss.next_line(timeout_s=1.0)
    assert line.t_mono_ns == clock.mono_ns() == 80_000_000


SPEEDS = {4800: termios.B4800, 9600: termios.B9600, 38400: termios.B38400, 115200: termios.B115200}


class FastClock(RealClock):
    """Ten times as fast: the search's patience costs a quarter of a second."""

    def mono_ns(self) -> int:
        return super().mono_ns() * 10


@pytest.mark.slow
@pytest.mark.parametrize("baud", SPEEDS)
def test_baud_rate_is_detected(baud):
    """On a real terminal: while the port has another speed than the receiver, only garbage comes."""
    master, slave = pty.openpty()
    gnss = GnssSerial(os.ttyname(slave), None, FastClock())
    done = threading.Event()

    def speak() -> None:
        while not done.wait(0.02):
            right = termios.tcgetattr(slave)[4] == SPEEDS[baud]
            os.write(master, f"{rmc()}\r\n".encode() if right else b"\xf8\x80x\x00\xe0\x86\n")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    texts = []
    while rmc() not in texts and len(texts) < 5000:
        line = gnss.next_line(timeout_s=5.0)
        texts += [line.text] if line else []
    done.set()
    speaker.join()
    gnss.close()
    os.close(master)
    os.close(slave)
    assert texts[-1] == rmc()


def test_baud_rate_is_kept_in_silence_and_redetected_in_garbage():
    search = BaudSearch()
    good, bad = [NmeaLine(0, rmc())], [NmeaLine(0, "\ufffdx")]
    assert not search.judge(good, 0)
    assert not any(search.judge([], t * 10**9) for t in range(600))
    assert search.baud == BAUDS[0]
    assert any(search.judge(bad, t * 10**9) for t in range(600, 604))
    assert search.baud == BAUDS[1]


def test_bytes_without_line_end_are_not_silence():
    """A receiver that was set to another baud rate may never send a line end."""
    search = BaudSearch()
    search.judge([NmeaLine(0, rmc())], 0)
    assert any(search.judge([], t * 10**9, heard=True) for t in range(4))


def test_sentence_needs_valid_checksum():
    assert is_sentence(rmc())
    for text in ("", "$", "$GPRMC", rmc()[:-1], rmc()[1:], rmc().replace("*", "*0"), "$é*00", "$GPRMC,x*ZZ"):
        assert not is_sentence(text)


class FakeGpsd:
    """As much of gpsd as a client of raw sentences meets."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def serve(self, data: bytes) -> None:
        """Greet one client, wait for its wish, send, hang up."""
        peer, _ = self.server.accept()
        with peer:
            peer.sendall(b'{"class":"VERSION","release":"3.22"}\r\n')
            self.wish = peer.recv(200)
            peer.sendall(b'{"class":"DEVICES","devices":[]}\r\n' + data)


def test_gpsd_raw_sentences_and_reconnect():
    gpsd = FakeGpsd()
    gnss = GnssGpsd("127.0.0.1", gpsd.port, RealClock())
    for _ in range(2):
        thread = threading.Thread(target=gpsd.serve, args=(f"{rmc()}\r\n{gga()}\r\n".encode(),), daemon=True)
        thread.start()
        assert [gnss.next_line(timeout_s=5.0).text for _ in range(2)] == [rmc(), gga()]
        thread.join()
        assert b'"nmea":true,"json":true' in gpsd.wish
        with pytest.raises(GnssLostError, match="closed"):
            gnss.next_line(timeout_s=5.0)
    gpsd.server.close()
    with pytest.raises(GnssLostError, match="running"):
        gnss.next_line(timeout_s=5.0)
    gnss.close()
    assert gnss.next_line(timeout_s=5.0) is None


class TickingClock(RealClock):
    """Each look at it takes four seconds: time without sentences passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self._t_ns = 0

    def mono_ns(self) -> int:
        self._t_ns += 4 * 10**9
        return self._t_ns


TPV = '{"class":"TPV","device":"/dev/ttyACM0","mode":3,"time":"2026-05-30T12:00:00Z","lat":45.0,"lon":-100.0}'


@pytest.mark.parametrize("sentences", [True, False])
def test_gpsds_reports_are_taken_where_it_passes_no_sentences_on(sentences):
    """Some servers and some receivers have JSON only; where there are sentences, they say what the receiver said."""
    gpsd = FakeGpsd()
    gnss = GnssGpsd("127.0.0.1", gpsd.port, RealClock() if sentences else TickingClock())
    data = f"{rmc()}\r\n{TPV}\r\n{gga()}\r\n" if sentences else f'{TPV}\r\n{{"class":"SKY"}}\r\n{TPV}\r\n'
    thread = threading.Thread(target=gpsd.serve, args=(data.encode(),), daemon=True)
    thread.start()
    lines = [gnss.next_line(timeout_s=60.0) for _ in range(2)]
    with pytest.raises(GnssLostError):
        gnss.next_line(timeout_s=60.0)
    thread.join()
    gpsd.server.close()
    gnss.close()
    assert [line.text for line in lines] == ([rmc(), gga()] if sentences else [TPV, TPV])
    # VERSION and DEVICES always; then the position beside sentences, or the report without one.
    published = GnssComponent(gnss, ReadQueue(1), Supervisor(RealClock())).counters()
    assert published["devices.gnss_reports_unused"] == 3


def test_a_fixed_site_says_its_place_once_a_second():
    """And nothing in between; closing ends it."""
    clock = SimClock()
    config = FixedGnssConfig(kind="fixed", lat_deg=38.9, lon_deg=-77.0, error_m=15.0)
    gnss = open_gnss(config, clock)
    lines = [gnss.next_line(timeout_s=0.4) for _ in range(10)]
    came = [line for line in lines if line is not None]
    assert [line.t_mono_ns for line in came] == [0, 10**9, 2 * 10**9, 3 * 10**9]
    fixes = [fix for line in came for fix in [NmeaState().feed(line)]]
    assert {(fix.lat_deg, fix.lon_deg, fix.error_m, fix.utc_ns) for fix in fixes} == {(38.9, -77.0, 15.0, None)}
    gnss.close()
    assert gnss.next_line(timeout_s=5.0) is None


@pytest.mark.parametrize(
    "wrong", [{"lat_deg": 91.0}, {"lon_deg": float("nan")}, {"error_m": 0.0}, {"lat_deg": 0.0, "lon_deg": 0.0}]
)
def test_a_site_without_a_place_is_no_site(wrong):
    with pytest.raises(ValueError, match=r"lat_deg|lon_deg|error_m|0 N 0 E"):
        FixedGnssConfig(**{"kind": "fixed", "lat_deg": 38.9, "lon_deg": -77.0, "error_m": 15.0, **wrong})
