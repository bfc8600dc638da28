"""Drive folders: recorded, loaded, refused with everything that is wrong, and broken as the script says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.backoff import Backoff
from hw.camera_sim import CameraSim
from hw.clock import SimClock
from hw.drive_format import DriveCamera, DriveFormatError, DriveHeader
from hw.drive_load import load_drive
from hw.gnss_lines import LineAssembler
from hw.ports import Frame, HwConfigError, NmeaLine
from hw.recorder import DriveRecorder
from hw.timeline import DrivePictures, FrameEvent, NmeaEvent, ScriptEvent, scripted_timeline
from tests.builders import make_frame
from tests.drawn import write_mp4
from tests.drive_builder import write_drive

MS = 1_000_000


def header(**other) -> DriveHeader:
    values = {
        "name": "test", "source": "field", "date": "2026-05-12", "place": "", "licence": "none", "notes": 'a "note"',
        "unit": "unit-07", "start_utc_ns": 1_780_000_000_123_456_000, "recogniser": "model",
        "floors": {"plates_read": 0.5}, "camera": DriveCamera("front", "front", 5.0, 64, 48),
    }  # fmt: skip
    return DriveHeader(**{**values, **other})


def recorded(tmp_path, frames: list[Frame], lines: list[NmeaLine]):
    recorder = DriveRecorder(tmp_path / "drive", header(), origin_ns=1000 * MS)
    for frame in frames:
        recorder.add_frame(frame)
    for line in lines:
        recorder.add_line(line)
    recorder.close()
    return load_drive(tmp_path / "drive")


def test_recorded_drive_loads(tmp_path):
    """Times, sentences (garbage as well) and header survive."""
    frames = [make_frame(seq=n, t_mono_ns=(1000 + 200 * n) * MS) for n in (0, 1, 4)]
    lines = [NmeaLine(1050 * MS, "$GNRMC,garbage*00"), NmeaLine(1100 * MS, "\udcff\x00tab\there")]
    drive = recorded(tmp_path, frames, lines)
    assert [(f.seq, f.t_ns) for f in drive.frames] == [(0, 0), (1, 200 * MS), (4, 800 * MS)]
    assert [s.t_ns for s in drive.sentences] == [50 * MS, 100 * MS]
    assert drive.sentences[0].text == "$GNRMC,garbage*00"
    assert drive.header == header()


def test_interrupted_recording_is_a_valid_drive(tmp_path):
    """The power went while a line was written: that line is ignored and counted."""
    drive = recorded(tmp_path, [make_frame(t_mono_ns=1000 * MS)], [NmeaLine(1050 * MS, "$GNRMC")])
    with (drive.root / "frames.csv").open("a") as file:
        file.write("1,200.0,frames/0000")
    again = load_drive(drive.root)
    assert (len(again.frames), again.torn_lines) == (1, 1)


def test_frames_of_another_size_are_left_out_and_counted(tmp_path):
    """A camera that comes back with another mode: one such frame would make the drive of a day unusable."""
    small = replace(make_frame(seq=1, t_mono_ns=1200 * MS), rgb=np.zeros((24, 32, 3), np.uint8))
    recorder = DriveRecorder(tmp_path / "drive", header(), origin_ns=1000 * MS)
    for frame in (make_frame(t_mono_ns=1000 * MS), small, make_frame(seq=2, t_mono_ns=1400 * MS)):
        recorder.add_frame(frame)
    recorder.close()
    assert (recorder.frames, recorder.of_another_size) == (2, 1)
    assert [frame.seq for frame in load_drive(tmp_path / "drive").frames] == [0, 2]


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"no picture"], ids=["no bytes", "torn", "foreign"])
def test_one_damaged_picture_ends_no_drive(tmp_path, content):
    """In the middle or at the end: it counts as a frame that was lost."""
    drive = recorded(tmp_path, [make_frame(seq=n, t_mono_ns=(1000 + 200 * n) * MS) for n in range(4)], [])
    for damaged in (1, 3):
        (drive.root / drive.frames[damaged].file).write_bytes(content)
    again = load_drive(drive.root)
    pictures = DrivePictures(again)
    found = [pictures.frame(row, t_mono_ns=row.t_ns) for row in again.frames]
    assert [frame is None for frame in found] == [False, True, False, True]
    assert pictures.unreadable == 2


def test_the_last_pictures_may_be_missing_and_no_other(tmp_path):
    """A power cut takes the newest names first; a hole in the middle is a drive that was not copied whole."""
    drive = recorded(tmp_path, [make_frame(seq=n, t_mono_ns=(1000 + 200 * n) * MS) for n in range(4)], [])
    (drive.root / drive.frames[3].file).unlink()
    assert len(load_drive(drive.root).frames) == 4
    (drive.root / drive.frames[1].file).unlink()
    with pytest.raises(DriveFormatError, match=r"000001\.jpg is missing"):
        load_drive(drive.root)


def test_a_drive_without_one_good_picture_is_refused(tmp_path):
    drive = recorded(tmp_path, [make_frame(t_mono_ns=1000 * MS)], [])
    (drive.root / drive.frames[0].file).write_bytes(b"")
    with pytest.raises(DriveFormatError, match="no picture of the drive"):
        load_drive(drive.root)


def test_a_picture_that_broke_off_is_counted(tmp_path):
    """It is read as far as it goes, and that is not all of it; a picture of several frames counts for each."""
    root = write_drive(tmp_path / "drive", seconds=2)
    noise = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    (root / "frames/0001.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    rows = (root / "frames.csv").read_text().replace("0002.jpg", "0001.jpg")
    (root / "frames.csv").write_text(rows)
    drive = load_drive(root)
    pictures = DrivePictures(drive)
    assert all(pictures.frame(row, t_mono_ns=row.t_ns) is not None for row in drive.frames)
    assert (pictures.partial, pictures.unreadable) == (2, 0)


def of_video(root: Path, frames: int, size: tuple[int, int] = (320, 180)) -> Path:
    """A drive whose frames are those of a video."""
    write_drive(root, seconds=2, plates={})
    rows = [f"{n},{n * 200},{n},0,1" for n in range(10)]
    (root / "frames.csv").write_text("\n".join(["seq,t_ms,index,exposure_us,gain", *rows, ""]))
    width, height = size
    write_mp4(root / "video.mp4", [np.full((height, width, 3), 20 * n, np.uint8) for n in range(frames)])
    return root


def test_a_drive_of_a_video_has_its_frames(tmp_path):
    """Those beyond its end are lost."""
    drive = load_drive(of_video(tmp_path / "drive", 8))
    pictures = DrivePictures(drive)
    found = [pictures.frame(row, t_mono_ns=row.t_ns) for row in drive.frames]
    assert [frame is None for frame in found] == [False] * 8 + [True] * 2
    assert [round(frame.rgb.mean() / 20) for frame in found if frame is not None] == list(range(8))


def test_a_drive_of_a_video_that_cannot_be_used_is_refused(tmp_path):
    """As one without a good picture; a replay would end well with nothing read."""
    root = of_video(tmp_path / "drive", 3, (160, 90))
    with pytest.raises(DriveFormatError, match=r"video\.mp4: frames are 160x90, the camera 320x180"):
        load_drive(root)
    (root / "video.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(DriveFormatError, match=r"video\.mp4: cannot be opened as a video"):
        load_drive(root)
    (root / "video.mp4").unlink()
    with pytest.raises(DriveFormatError, match=r"video\.mp4: missing"):
        load_drive(root)


def test_the_mark_of_a_spreadsheet_is_no_part_of_a_table(tmp_path):
    root = write_drive(tmp_path / "drive")
    plain = load_drive(root)
    for name in ("drive.toml", "frames.csv", "truth.csv", "gnss.nmea", "script.toml"):
        (root / name).write_bytes(b"\xef\xbb\xbf" + (root / name).read_bytes())
    assert load_drive(root) == plain


def test_a_camera_that_plays_a_drive_passes_a_damaged_frame_over(tmp_path):
    root = write_drive(tmp_path / "drive", seconds=1)
    (root / "frames/0001.jpg").write_bytes(b"")
    camera = CameraSim(load_drive(root), SimClock())
    seqs = [camera.next_frame(timeout_s=1).seq for _ in range(4)]
    assert seqs == [0, 2, 3, 4]


def test_what_is_recorded_is_on_the_disk_within_a_second(tmp_path, monkeypatch):
    """Each picture before the next second's, and its name: a power cut takes no more than that."""
    synced: set[str] = set()
    real = os.fsync
    monkeypatch.setattr(
        "hw.recorder.os.fsync", lambda fd: (synced.add(Path(f"/proc/self/fd/{fd}").readlink().name), real(fd))
    )
    recorder = DriveRecorder(tmp_path / "drive", header(), origin_ns=1000 * MS)
    for n in range(7):
        recorder.add_frame(make_frame(seq=n, t_mono_ns=(1000 + 200 * n) * MS))
    assert {f"{n:06d}.jpg" for n in range(6)} | {"frames.csv", "gnss.nmea", "frames"} <= synced
    recorder.close()
    assert "000006.jpg" in synced


def test_a_recording_needs_an_empty_folder(tmp_path):
    """Nothing is overwritten."""
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "holiday.jpg").touch()
    with pytest.raises(HwConfigError, match="not empty"):
        DriveRecorder(tmp_path / "drive", header(), origin_ns=0)


def test_all_errors_of_a_drive_are_listed(tmp_path):
    """A person repairs a drive in one go."""
    root = write_drive(tmp_path / "drive")
    (root / "frames.csv").write_text(
        "seq,t_ms,file,exposure_us,gain\n0,0,../secret.jpg,1,1\n1,x,frames/0001.jpg,1,1\n"
    )
    (root / "truth.csv").write_text("seq,x0,y0,x1,y1,plate,region\n9,1,1,0,0,no plate,US\n")
    (root / "script.toml").write_text(
        '[[at]]\nt_ms = 5\ndo = "explode"\n[[at]]\nt_ms = 1\ndo = "link.drop_acks"\n'
    )
    with (root / "drive.toml").open("a") as file:
        file.write("colour = 3\n")
    with pytest.raises(DriveFormatError) as caught:
        load_drive(root)
    text = str(caught.value)
    for part in (
        "inside the drive",
        "t_ms is 'x'",
        "there is no frame with seq 9",
        "no plate",
        "explode",
        "needs n",
        "colour",
    ):
        assert part in text


def test_folder_that_is_not_a_drive_is_reported(tmp_path):
    """Not a traceback."""
    with pytest.raises(DriveFormatError, match=r"drive\.toml"):
        load_drive(tmp_path)


def test_script_faults_are_applied(tmp_path):
    """Muted sentences and stalled frames are missing, corrupted ones changed; everything else is there, in order."""
    script = [
        (1000, "gnss.mute", {}), (2500, "gnss.unmute", {}), (2600, "gnss.corrupt", {"n": 1}),
        (4000, "camera.stall", {}), (5000, "camera.resume", {}),
    ]  # fmt: skip
    drive = load_drive(write_drive(tmp_path / "drive", seconds=6, script=script))
    events = list(scripted_timeline(drive))
    times = [e.t_mono_ns for e in events]
    assert times == sorted(times)
    heard = [e for e in events if isinstance(e, NmeaEvent)]
    assert not [e for e in heard if 1000 * MS <= e.t_mono_ns < 2500 * MS]
    original = {s.text for s in drive.sentences}
    assert sum(e.text not in original for e in heard) == 1
    seen = [e.t_mono_ns for e in events if isinstance(e, FrameEvent)]
    assert not [t for t in seen if 4000 * MS <= t < 5000 * MS]
    assert len([e for e in events if isinstance(e, ScriptEvent)]) == len(script)


LINES = st.builds(
    "{}{}".format, st.sampled_from(["$", "!", ""]), st.text("GNRMC,0123*AF", min_size=1, max_size=30)
)


@given(st.lists(LINES, min_size=1, max_size=8), st.data())
def test_lines_are_independent_of_chunking(texts, data):
    """Cut anywhere, with any mixture of line ends: the same lines."""
    stream = b"".join(t.encode() + data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) for t in texts)
    assembler, lines, rest = LineAssembler(), [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        lines += assembler.feed(rest[:size], 0)
        rest = rest[size:]
    assert [line.text for line in lines] == texts


@given(st.floats(0.01, 5), st.floats(5, 100), st.integers(1, 30))
def test_backoff_stays_within_bounds(least, most, tries):
    """Never more than the most, and small again after success."""
    backoff = Backoff(least, most)
    assert all(0 <= backoff.next_s() <= most for _ in range(tries))
    backoff.reset()
    assert backoff.next_s() <= least
