"""Pictures for views on the unit."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from agent.commit import CommitResult
from agent.hits.errors import HitRefusedError
from agent.runtime.commands import Caller, CommandRefusedError
from agent.runtime.picture_verbs import CameraArguments, LatestPictures, PictureArguments, PictureVerbs
from agent.runtime.service import Service
from agent.runtime.view_audit import ViewAudit
from hw.clock import SimClock
from protocol.wire.enums import PictureKind
from tests.builders import make_picture, make_read
from tests.command_client import CommandClient
from tests.unit_parts import unit_parts

ANYBODY = Caller("", None)
OF_HIT = make_picture(content=b"hit")


def of_hit(hit_id, kind):
    if hit_id != bytes(16):
        raise HitRefusedError("unknown_hit", "no such hit")
    return OF_HIT if kind is PictureKind.PLATE else None


def verbs_of(latest, cameras, clock):
    return PictureVerbs(latest, cameras, clock, of_hit)


def read(number, *pictures):
    return SimpleNamespace(read_id=number.to_bytes(16, "big"), pictures=pictures, ends_mono_ns=None)


def camera(rgb=None, *, private=False, t_mono_ns=5_000):
    frame = None if rgb is None else SimpleNamespace(rgb=rgb, t_mono_ns=t_mono_ns)
    return SimpleNamespace(camera_name="front", newest=frame, private=private)


def code_of(act, arguments):
    with pytest.raises(CommandRefusedError) as refused:
        act(arguments, ANYBODY)
    return refused.value.code


def test_pictures_of_the_latest_reads_are_kept_and_no_others():
    latest = LatestPictures(SimClock(), limit=2)
    verbs = verbs_of(latest, (), SimClock())
    plate, overview = make_picture(), make_picture(PictureKind.OVERVIEW, content=b"overview")
    latest.on_commit(CommitResult(tuple(read(n, plate, overview) for n in range(3)), (1, 2, 3)))
    asked = [PictureArguments(read_id=f"{n:032x}", kind=PictureKind.OVERVIEW) for n in range(3)]
    assert base64.b64decode(verbs.picture(asked[2], ANYBODY)["jpeg_base64"]) == overview.jpeg
    assert base64.b64decode(verbs.picture(asked[1], ANYBODY)["jpeg_base64"]) == overview.jpeg
    assert code_of(verbs.picture, asked[0]) == "no_picture"


def test_pictures_of_a_read_whose_period_is_over_are_not_shown():
    """A policy of three minutes is one of three minutes in the vehicle as well."""
    clock = SimClock()
    latest = LatestPictures(clock)
    verbs = verbs_of(latest, (), clock)
    made = replace(make_read(1), period_s=180)
    latest.on_commit(CommitResult((made, make_read(2)), (1, 2)))
    asked = [PictureArguments(read_id=one.read_id.hex(), kind=PictureKind.PLATE) for one in (made, make_read(2))]
    clock.advance_to(made.ends_mono_ns - 1)
    assert verbs.picture(asked[0], ANYBODY)
    clock.advance(1)
    assert code_of(verbs.picture, asked[0]) == "no_picture"
    assert verbs.picture(asked[1], ANYBODY), "no policy limits it"


def test_camera_picture_is_small_and_the_newest():
    rgb = np.zeros((720, 1280, 3), np.uint8)
    rgb[..., 0] = 255
    answer = verbs_of(LatestPictures(SimClock()), (camera(rgb),), SimClock()).camera_picture(
        CameraArguments(camera="front"), ANYBODY
    )
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(answer["jpeg_base64"]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (270, 480, 3) == (answer["height_px"], answer["width_px"], 3)
    assert shown[100, 100, 2] > 240, "red stays red"
    assert shown[100, 100, 0] < 20
    assert answer["mono_us"] == 5


def test_camera_picture_is_made_at_most_five_times_per_second():
    clock, front = SimClock(), camera(np.zeros((48, 64, 3), np.uint8))
    verbs, ask = verbs_of(LatestPictures(SimClock()), (front,), clock), CameraArguments(camera="front")
    first = verbs.camera_picture(ask, ANYBODY)
    front.newest = SimpleNamespace(rgb=front.newest.rgb, t_mono_ns=9_000)
    clock.advance_to(199_999_999)
    assert verbs.camera_picture(ask, ANYBODY) is first
    clock.advance_to(200_000_000)
    assert verbs.camera_picture(ask, ANYBODY)["mono_us"] == 9


def test_no_camera_picture_while_private_without_a_frame_or_of_an_unknown_camera():
    rgb = np.zeros((48, 64, 3), np.uint8)
    ask = CameraArguments(camera="front")
    private = verbs_of(LatestPictures(SimClock()), (camera(rgb, private=True),), SimClock())
    assert code_of(private.camera_picture, ask) == "private"
    assert (
        code_of(verbs_of(LatestPictures(SimClock()), (camera(),), SimClock()).camera_picture, ask) == "no_picture"
    )
    assert code_of(verbs_of(LatestPictures(SimClock()), (), SimClock()).camera_picture, ask) == "unknown_camera"


def test_picture_taken_before_privacy_is_not_shown_after_it():
    front = camera(np.zeros((48, 64, 3), np.uint8))
    verbs, ask = verbs_of(LatestPictures(SimClock()), (front,), SimClock()), CameraArguments(camera="front")
    verbs.camera_picture(ask, ANYBODY)
    front.private = True
    assert code_of(verbs.camera_picture, ask) == "private"
    front.private, front.newest = False, None
    assert code_of(verbs.camera_picture, ask) == "no_picture"


@pytest.mark.slow
def test_running_agent_shows_its_reads_and_its_camera(tmp_path):
    path = tmp_path / "command.sock"
    service = Service(*unit_parts(tmp_path, command={"path": str(path)}))
    shown = {}

    def watch(running: Service) -> None:
        if shown or not running.progress.reads:
            return
        client = CommandClient(path)
        newest = running.progress.reads[-1].read_id.hex()
        shown.update({kind: client.ask("picture", read_id=newest, kind=kind) for kind in ("plate", "overview")})
        shown["camera"] = client.ask("camera_picture", camera="front")
        client.close()
        running.stop()

    service.run(on_watch=watch, drain_s=0)
    assert not path.exists()
    assert {name: answer["ok"] for name, answer in shown.items()} == dict.fromkeys(shown, True)
    assert service.health.counters()["command.answered"] == 3


def test_pictures_of_hits_are_asked_by_the_id_of_the_hit():
    verbs = verbs_of(LatestPictures(SimClock()), (), SimClock())
    known, unknown = "00" * 16, "11" * 16
    found = verbs.picture(PictureArguments(hit_id=known, kind=PictureKind.PLATE), ANYBODY)
    assert base64.b64decode(found["jpeg_base64"]) == OF_HIT.jpeg
    for arguments in (
        {"hit_id": known, "kind": PictureKind.OVERVIEW},
        {"hit_id": unknown, "kind": PictureKind.PLATE},
    ):
        assert code_of(verbs.picture, PictureArguments(**arguments)) == "no_picture"
    for arguments in ({}, {"hit_id": known, "read_id": known}):
        assert code_of(verbs.picture, PictureArguments(kind=PictureKind.PLATE, **arguments)) == "bad_arguments"


def test_first_view_of_a_hit_is_audited_by_officer():
    """Who saw which hit; overviews and repeated requests of the page add nothing."""
    entries = []
    auditor = SimpleNamespace(add=lambda who, action, obj: entries.append((who, action, obj)))
    verbs = PictureVerbs(LatestPictures(SimClock()), (), SimClock(), lambda *_: make_picture(), auditor)
    officer = Caller("token", SimpleNamespace(badge="4711", shift_id=b"s" * 16))
    for caller in (ANYBODY, officer, officer):
        for kind in PictureKind:
            verbs.picture(PictureArguments(hit_id="0" * 32, kind=kind), caller)
    assert entries == [("", "view_hit", "0" * 32), ("4711", "view_hit", "0" * 32)]


def test_views_of_reads_are_audited_once_per_period():
    """The latest reads are on the screen all the time."""
    entries = []
    auditor = SimpleNamespace(add=lambda *entry, **_: entries.append(entry))
    pictures = LatestPictures(SimClock())
    pictures.on_commit(CommitResult(reads=(read(1, make_picture()),), seqs=(1,)))
    clock = SimClock()
    verbs = PictureVerbs(pictures, (), clock, lambda *_: None, auditor, views=ViewAudit(auditor, clock))
    for _ in range(3):
        verbs.picture(PictureArguments(read_id=f"{1:032x}", kind=make_picture().kind), ANYBODY)
    assert entries == [("", "view_read_pictures", "")]
