"""An agent for tests of the console: speaks the feed and the command socket, and does what the test says."""

from __future__ import annotations

import base64
import csv
import functools
import json
import socket
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = Path(__file__).parent / "drives/city-day/frames"
BEAT_S = 1.0
TOKEN = "t" * 43
PIN = "2468"
SIGN_ON_TOKEN = "signed.token"  # noqa: S105 - what the fake accepts
NOW_US = 1_900_000_000_000_000
MONO_US = 5_000_000_000
LISTED = {
    "text": "6KYN051", "region": "US-CA", "list_id": "stolen", "list_name": "Stolen vehicles",
    "owner": "Example Sheriff", "version": 12,
    "as_of_utc_us": NOW_US - 3 * 3_600_000_000, "age_s": 3 * 3600, "entry_id": "e-1", "make": "Honda",
    "model": "Civic", "colour": "Blue", "year": "2014", "reason": "Stolen vehicle", "note": "", "callback": "555-0100",
}  # fmt: skip


def hex_id(number: int) -> str:
    return f"{number:032x}"


def a_read(number: int, text: str = "6KYN051", **changes: Any) -> dict[str, Any]:
    return {
        "read_id": hex_id(number), "seq": number, "camera": "front", "camera_role": "front", "text": text,
        "confidence": 0.97, "region": "US-CA", "single_frame": False, "n_sightings": 6, "n_agreeing": 5,
        "mono_us": MONO_US - 4_000_000, "utc_us": NOW_US - 4_000_000, "time_source": "gnss", "geotag": "interpolated",
        "lat_deg": 34.0530, "lon_deg": -118.2437, "error_m": 4.0, **changes,
    }  # fmt: skip


def a_hit(number: int, text: str = "6KYN051", **changes: Any) -> dict[str, Any]:
    return {
        "hit_id": hex_id(0xA000 + number), "read_id": hex_id(number), "state": "new", "stage": "final",
        "priority": "high", "text": text, "chars": [[char, 0.99] for char in text[:-1]] + [[text[-1], 0.7]],
        "region": "US-CA", "region_match": "equal", "rule": "exact", "probability": 0.97,
        "listed": dict(LISTED), "camera": "front", "camera_role": "front", "mono_us": MONO_US - 2_000_000,
        "utc_us": NOW_US - 2_000_000, "lat_deg": 34.0530, "lon_deg": -118.2437, "error_m": 4.0, "motion": "moving",
        "pictures": ["plate", "overview"], "checks": {"characters": None, "region": None, "vehicle": None},
        "officer": None, **changes,
    }  # fmt: skip


def _camera(name: str, fps: float, *, dirty: bool = False) -> dict[str, Any]:
    seen = {"blinded": False, "dirty": dirty, "moved": False}
    return {"name": name, "role": name, "ready": True, "ok": True, "fps": fps, **seen}


def _list(name: str, entries: int, age_s: int, *, stale: bool = False) -> dict[str, Any]:
    return {
        "list_id": name.split(maxsplit=1)[0].lower(), "name": name, "owner": "Example Sheriff", "version": 12,
        "as_of_utc_us": NOW_US - age_s * 1_000_000, "age_s": age_s, "stale": stale, "entries": entries,
    }  # fmt: skip


def a_state(**changes: Any) -> dict[str, Any]:
    return {
        "mono_us": MONO_US, "utc_us": NOW_US, "state": "online", "reason": "recording", "lamp": "recording",
        "private": False,
        "cameras": [_camera("front", 14.8), _camera("rear", 15.1, dirty=True)],
        "fix": {
            "found": True, "age_ms": 200, "utc_us": NOW_US, "lat_deg": 34.0522, "lon_deg": -118.2437, "error_m": 2.5,
            "speed_mps": 0.0, "course_deg": 90.0, "satellites": 11, "quality": "gps",
        },
        "link": {"up": True, "metered": True},
        "outbox": {
            "appended": 412, "reads_waiting": 3, "others_waiting": 0, "plates_waiting": 4, "overviews_waiting": 17,
            "quarantined": 0, "used_bytes": 3_400_000,
        },
        "hits_open": 0,
        "lists": [_list("Stolen vehicles", 48_213, 10_800), _list("AMBER alerts", 7, 200_000, stale=True)],
        "shift": None, "shifts": [], "policy": {"id": "example", "version": 4},
        "disk": {"free_bytes": 11_811_160_064, "low": False},
        "heat": {"temperature_c": 61.0, "slow": False}, **changes,
    }  # fmt: skip


ROSTER = {
    "version": 1, "expired": False, "roles": ["driver", "observer"], "vehicles": ["car-12"],
    "zones": [{"id": "north", "name": "North"}, {"id": "south", "name": "South"}],
    "checkpoints": [{"id": "cp-1", "name": "Bridge"}], "tasks": ["patrol", "checkpoint"],
    "equipment": ["radio-1", "rifle-3"], "activities": ["patrol", "transport", "court", "report", "break", "training"],
    "categories": ["stolen-vehicle", "wanted-person", "amber", "other"],
    "outcomes": ["recovered", "arrest", "citation", "released", "none", "unknown"],
    "contributions": ["located", "identified", "corroborated", "misled", "none", "unknown"], "tokens": True,
}  # fmt: skip
SHIFT = {
    "shift_id": hex_id(0x5417),
    "badge": "4711",
    "role": "driver",
    "zone": "North",
    "activity": "patrol",
    "since_utc_us": NOW_US - 5_400_000_000,
}

OWN_SHIFT = {
    **SHIFT, "hours": {"patrol": 5_400, "report": 720}, "planned_hours": {"patrol": 25_200, "break": 1_800},
    "planned_s": 36_000, "worked_s": 6_120, "overtime_s": 0, "incidents": 0,
}  # fmt: skip


class FakeAgent:
    """Feed and command socket in a folder; ``asked`` are the commands that came."""

    def __init__(self, folder: Path) -> None:
        self.feed_path, self.command_path = folder / "feed.sock", folder / "command.sock"
        self.asked: list[dict[str, Any]] = []
        self.state = a_state()
        self.reads: deque[dict[str, Any]] = deque(maxlen=50)
        self.hits: dict[str, dict[str, Any]] = {}
        self.incidents: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.beats = True
        self.frame = _picture(FRAMES / "0010.jpg", 640)
        self.roster: dict[str, Any] | None = ROSTER
        self.mountings: dict[str, dict[str, Any]] = {
            name: {"camera": name, "degrees": 0, "polygon": []} for name in ("front", "rear")
        }
        self.watched: dict[str, dict[str, Any]] = {}
        self._n = 0
        self._lock = threading.Lock()
        self._clients: list[socket.socket] = []
        self._listeners: list[socket.socket] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.die()

    def start(self) -> None:
        """Listen; also again after ``die``."""
        self._serve(self.feed_path, self._greet)
        self._serve(self.command_path, self._answer_all)

    def die(self) -> None:
        """As when the process ends: sockets are gone, connections closed."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for path in (self.feed_path, self.command_path):
            path.unlink(missing_ok=True)
        with self._lock:
            clients, self._clients = self._clients, []
            self._n = 0
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def read(self, read: dict[str, Any]) -> None:
        self.reads.append(read)
        self.post("read", mono_us=MONO_US, read=read)

    def hit(self, hit: dict[str, Any], **changes: Any) -> None:
        hit = {**hit, **changes}
        self.hits[hit["hit_id"]] = hit
        self.post("hit", mono_us=MONO_US, hit=hit)

    def become(self, **changes: Any) -> None:
        """Change the state, and say so in a heartbeat."""
        if "shift" in changes:
            changes = {"shifts": [changes["shift"]] if changes["shift"] else [], **changes}
        with self._lock:
            self.state = {**self.state, **changes}
            self._post("heartbeat", **self.state, late=[])

    def drive(self, speed_mps: float) -> None:
        self.become(fix={**self.state["fix"], "speed_mps": speed_mps})

    def post(self, event: str, **body: Any) -> None:
        with self._lock:
            self._post(event, **body)

    def _post(self, event: str, **body: Any) -> None:
        self._n += 1
        line = _line({"event": event, "n": self._n, **body})
        for client in tuple(self._clients):
            try:
                client.sendall(line)
            except OSError:
                self._clients.remove(client)
                client.close()

    def _serve(self, path: Path, act: Callable[[socket.socket], None]) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(16)
        self._listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=act, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def _greet(self, client: socket.socket) -> None:
        with self._lock:
            client.sendall(
                _line({
                    "event": "snapshot", "n": self._n, "version": 1, "unit": "unit-07", "boot_id": "b" * 32,
                    "software": "patrol-lpr 0.2.0", "models": ["detector", "ocr"], **self.state,
                    "reads": list(self.reads), "hits": list(self.hits.values()),
                })
            )  # fmt: skip
            self._clients.append(client)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            if self.beats:
                self.become()

    def _answer_all(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines, suppress(OSError):
            for line in lines:
                client.sendall(_line(self._answer(json.loads(line))))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verb = request["verb"]
        if verb not in {"picture", "camera_picture", "viewed"}:
            self.asked.append(request)
        act = self.answers.get(verb) or getattr(self, f"_do_{verb}", None)
        if act is None:
            return {"id": request["id"], "ok": False, "error": "unknown_verb", "message": "unknown verb"}
        return {"id": request["id"], "ok": True, **act(request)}

    def _do_picture(self, request: dict[str, Any]) -> dict[str, Any]:
        picture = self._crop_of(request) if request["kind"] == "plate" else self.frame
        return {"jpeg_base64": base64.b64encode(picture).decode()}

    def _crop_of(self, request: dict[str, Any]) -> bytes:
        """The plate of this read or hit, as the project's own renderer has drawn it."""
        hit = self.hits.get(request.get("hit_id", ""))
        read = next((read for read in self.reads if read["read_id"] == request.get("read_id")), None)
        return _crop_of((hit or read or LISTED)["text"])

    def _do_viewed(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"signed_on": self._signed_on(request) is None}

    def _do_unlock(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["supervisor"] and request["pin"] == PIN:
            return {}
        return {"ok": False, "error": "not_allowed", "message": "only a supervisor can lift a lockout"}

    def _do_watch_plate(self, request: dict[str, Any]) -> dict[str, Any]:
        if (refusal := self._signed_on(request)) is not None:
            return refusal
        entry_id = hex_id(0xE000 + len(self.watched))
        kept = {key: request[key] for key in ("text", "region", "reason")}
        expires_us = NOW_US + request["hours"] * 3_600_000_000
        self.watched[entry_id] = {**kept, "entry_id": entry_id, "expires_utc_us": expires_us, "officer": "4711"}
        matches = [dict(LISTED)] if request["text"] == LISTED["text"] else []
        return {"entry_id": entry_id, "matches": matches}

    def _do_watched_plates(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._signed_on(request) or {"watched": list(self.watched.values())}

    def _do_unwatch_plate(self, request: dict[str, Any]) -> dict[str, Any]:
        if (refusal := self._signed_on(request)) is not None:
            return refusal
        del self.watched[request["entry_id"]]
        return {}

    def _do_camera_picture(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"jpeg_base64": base64.b64encode(self.frame).decode()}

    def _do_sign_on(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["pin"] != PIN and request["token"] != SIGN_ON_TOKEN:
            return {"ok": False, "error": "wrong", "message": "wrong badge or PIN"}
        badge = request["badge"] or "4711"
        self.become(shift={**SHIFT, "badge": badge, "role": request["role"], "zone": request["zone"]})
        return {"session": TOKEN, "badge": badge, "name": "A. Example", "shift_id": SHIFT["shift_id"]}

    def _do_shift(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"shift": OWN_SHIFT if self._signed_on(request) is None else None, "roster": self.roster}

    def _do_incidents(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._signed_on(request) or {"incidents": list(self.incidents.values())}

    def _do_sign_off(self, request: dict[str, Any]) -> dict[str, Any]:
        self.become(shift=None)
        return {}

    def _signed_on(self, request: dict[str, Any]) -> dict[str, Any] | None:
        if request.get("session") == TOKEN and self.state["shift"] is not None:
            return None
        return {"ok": False, "error": "not_signed_on", "message": "sign on first"}

    def _do_acknowledge(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._signed_on(request) or self._change(request["hit_id"], state="acknowledged")

    def _do_dispose(self, request: dict[str, Any]) -> dict[str, Any]:
        state = {"confirm": "confirmed", "reject": "rejected"}[request["decision"]]
        return self._signed_on(request) or self._change(request["hit_id"], state=state, checks=request["checks"])

    def _change(self, hit_id: str, **changes: Any) -> dict[str, Any]:
        self.hit(self.hits[hit_id], **changes)
        return {}

    def _do_outcome(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._signed_on(request) or {}

    def _do_incident_save(self, request: dict[str, Any]) -> dict[str, Any]:
        if (refusal := self._signed_on(request)) is not None:
            return refusal
        incident_id = request["incident_id"] or hex_id(0x17 + len(self.incidents))
        kept = {key: value for key, value in request.items() if key not in {"id", "verb", "session"}}
        self.incidents[incident_id] = {**kept, "incident_id": incident_id, "utc_us": NOW_US}
        return {"incident_id": incident_id}

    def _do_incident_close(self, request: dict[str, Any]) -> dict[str, Any]:
        if (refusal := self._signed_on(request)) is not None:
            return refusal
        del self.incidents[request["incident_id"]]
        return {"incident_id": request["incident_id"]}

    def _do_mountings(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"cameras": list(self.mountings.values())}

    def _do_set_mask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._mount(request, polygon=request.get("polygon"))

    def _do_set_rotation(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._mount(request, degrees=request.get("degrees"), polygon=[])

    def _mount(self, request: dict[str, Any], **changes: Any) -> dict[str, Any]:
        if (refusal := self._signed_on(request)) is not None:
            return refusal
        self.mountings[request["camera"]].update(changes)
        return {}

    _do_activity = _do_outcome


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


@functools.cache
def _picture(path: Path, width_px: int) -> bytes:
    image = cv2.imread(str(path))
    scale = width_px / image.shape[1]
    return _jpeg(cv2.resize(image, None, fx=scale, fy=scale))


@functools.cache
def _crop_of(text: str) -> bytes:
    """A rendered plate with a margin, as the agent keeps it; of a text that is on none, the blurred back of a car."""
    with (FRAMES.parent / "truth.csv").open() as rows:
        seen = [row for row in csv.DictReader(rows) if row["plate"] == text]
    if not seen:
        return _jpeg(cv2.GaussianBlur(cv2.imread(str(FRAMES / "0010.jpg"))[440:500, 1080:1240], (0, 0), 5))
    row = max(seen, key=lambda row: float(row["x1"]) - float(row["x0"]))
    x0, y0, x1, y1 = (int(float(row[key])) for key in ("x0", "y0", "x1", "y1"))
    margin_x, margin_y = (x1 - x0) // 6, (y1 - y0) // 4
    frame = cv2.imread(str(FRAMES / f"{int(row['seq']):04}.jpg"))
    image = frame[max(0, y0 - margin_y) : y1 + margin_y, max(0, x0 - margin_x) : x1 + margin_x]
    scale = 190 / image.shape[1]
    return _jpeg(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))


def _jpeg(image: Any) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
