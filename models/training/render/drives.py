"""The drives: who is on the road, what the light is, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.progress import track

from agent.geotag.geodesy import Position
from models.training.render.camera import HEIGHT_PX, WIDTH_PX, Camera
from models.training.render.gnss import Route, sentences, utc
from models.training.render.picture import Picture
from models.training.render.scenery import DAY, DUSK, NIGHT, Light, Scenery
from models.training.render.vehicles import Vehicle, make_vehicle

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.plates import PlateRenderer

FPS = 5
_MIN_CHARS = 5
"""Vanity plates of two letters prove nothing."""
KERB_M, ONCOMING_M, LANE_M = 3.15, -3.4, 0.15


@dataclass(frozen=True, slots=True)
class Parked:
    """A vehicle at the kerb, seen from behind as we come up."""

    z_m: float
    region: str
    same_as: int | None = None
    """Shows the plate of an earlier vehicle of the list."""


@dataclass(frozen=True, slots=True)
class Moving:
    """A vehicle on the road: oncoming when its speed is negative, else ahead of us in our lane."""

    z_m: float
    region: str
    speed_mps: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One drive."""

    name: str
    seed: int
    seconds: float
    light: Light
    start_utc: str
    notes: str
    speed_mps: float
    vehicles: tuple[Parked | Moving, ...]
    script: tuple[str, ...]
    """Lines `t_ms verb key=value...`."""
    tunnel_m: tuple[float, float] | None = None
    first_fix_s: float = 0.0
    floors: dict[str, float] = field(default_factory=lambda: {"plates_read": 0.6})
    jpeg_quality: int = 62

    def along_m(self, t_s: float) -> float:
        """Where we are after `t_s`: a gentle start, then even speed."""
        ramp_s = 3.0
        if t_s < ramp_s:
            return self.speed_mps * (0.4 * t_s + 0.3 * t_s**2 / ramp_s)
        return self.speed_mps * (0.7 * ramp_s + (t_s - ramp_s))


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            name="city-day",
            seed=11,
            seconds=24,
            light=DAY,
            start_utc="2026-05-12T15:04:00+00:00",
            notes="A street by day; the uplink is lost for a while, some acknowledgements and sentences as well.",
            speed_mps=6.5,
            vehicles=(
                Parked(14, "US-CA"), Moving(60, "US-FL", -7), Parked(31, "US-TX"), Parked(49, "MX"),
                Moving(150, "US-IL", -8), Parked(66, "US-NY"), Parked(84, "US-AZ"), Parked(101, "US-CA", same_as=0),
                Parked(119, "US-WA"), Parked(137, "US-NV"), Parked(154, "MX"),
            ),
            script=(
                "0 link.up", "4000 link.drop_acks n=3", "6000 gnss.corrupt n=3", "8000 link.down", "14000 link.up",
            ),
        ),
        Plan(
            name="tunnel-outage",
            seed=12,
            seconds=24,
            light=DUSK,
            start_utc="2026-05-12T19:41:00+00:00",
            notes="Into a tunnel at dusk: no fix, no uplink, and inside it the power is cut.",
            speed_mps=6.5,
            tunnel_m=(48.0, 122.0),
            vehicles=(
                Parked(15, "US-OR"), Parked(36, "US-CO"), Parked(62, "US-CA"), Parked(80, "MX"), Parked(99, "US-TX"),
                Parked(116, "US-MI"), Parked(138, "US-OH"), Parked(155, "US-PA"),
            ),
            script=(
                "0 link.up", "7000 gnss.mute", "7400 link.down", "13000 power.cut", "18500 gnss.unmute",
                "19000 link.up",
            ),
        ),
        Plan(
            name="cold-start-night",
            seed=13,
            seconds=22,
            light=NIGHT,
            start_utc="2026-05-13T03:12:00+00:00",
            notes="Night, just started: no fix yet, no network yet; the first reads are dated afterwards.",
            speed_mps=6.0,
            first_fix_s=6.0,
            vehicles=(
                Parked(13, "US-GA"), Parked(29, "US-NJ"), Parked(46, "US-CA"), Moving(140, "US-MN", -8),
                Parked(64, "US-VA"), Parked(82, "MX"), Parked(100, "US-NC"), Parked(117, "US-TN"),
            ),
            script=("10000 link.up", "21000 ignition.off"),
            floors={"plates_read": 0.5},
            jpeg_quality=55,
        ),
        Plan(
            name="hot-list",
            seed=14,
            seconds=15.4,
            light=DAY,
            start_utc="2026-05-12T16:20:00+00:00",
            notes="A street by day with listed, look-alike, out-of-state and unlisted plates; see hotlist.csv.",
            speed_mps=6.5,
            vehicles=(
                Parked(14, "US-CA"), Parked(31, "US-TX"), Parked(48, "US-NV"), Parked(65, "US-CA"),
                Parked(82, "US-WA"), Parked(99, "US-NY"),
            ),
            script=(
                "0 link.up", '7000 officer.confirm agency="Example-Police" reference="2026-0512" region=false',
                '8000 officer.reject reason="other_region"', "10200 link.down", "11000 button.acknowledge",
                "11500 officer.confirm", '12500 officer.confirm agency="Example-Police" reference="2026-0512"',
                '13500 officer.outcome code="recovered"', "15000 link.up",
            ),
            jpeg_quality=44,
        ),
    )
}  # fmt: skip


def build_vehicles(plan: Plan, plates: PlateRenderer) -> list[Vehicle]:
    """Draw every vehicle of a plan."""
    rng = np.random.default_rng(plan.seed)
    vehicles: list[Vehicle] = []
    for one in plan.vehicles:
        plate = plates.render(rng, region=one.region, clean=rng.random() < 0.7)
        while len(plate.text) < _MIN_CHARS:
            plate = plates.render(rng, region=one.region, clean=True)
        if isinstance(one, Parked):
            if one.same_as is not None:
                plate = vehicles[one.same_as].plate
            vehicles.append(make_vehicle(rng, plate, x_m=KERB_M, z_m=one.z_m))
        else:
            x_m = ONCOMING_M if one.speed_mps < 0 else LANE_M
            vehicles.append(
                make_vehicle(rng, plate, x_m=x_m, z_m=one.z_m, speed_mps=one.speed_mps, front=one.speed_mps < 0)
            )
    return vehicles


def render(plan: Plan, plates: PlateRenderer, out: Path) -> None:
    """Write a whole drive folder; what is there is replaced."""
    (out / "frames").mkdir(parents=True, exist_ok=True)
    camera = Camera()
    picture = Picture(
        camera, Scenery(camera, plan.light, plan.seed, plan.tunnel_m), plan.light, build_vehicles(plan, plates)
    )
    frames = ["seq,t_ms,file,exposure_us,gain"]
    truth = ["seq,x0,y0,x1,y1,plate,region"]
    for seq in track(range(int(plan.seconds * FPS)), description=plan.name):
        t_s = seq / FPS
        z_m = plan.along_m(t_s)
        speed = (plan.along_m(t_s + 0.01) - z_m) / 0.01
        rgb = picture.take(t_s, z_m, speed, np.random.default_rng((plan.seed, seq)))
        file = f"frames/{seq:04d}.jpg"
        cv2.imwrite(str(out / file), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, plan.jpeg_quality])
        frames.append(f"{seq},{t_s * 1000:.3f},{file},{plan.light.exposure_us},{plan.light.gain:g}")
        truth += [
            f"{seq},{p.x0:.1f},{p.y0:.1f},{p.x1:.1f},{p.y1:.1f},{p.text},{p.region}"
            for p in picture.truth(t_s, z_m)
        ]
    _write(out / "frames.csv", frames)
    _write(out / "truth.csv", truth)
    _write(out / "gnss.nmea", [f"{t_ms:.3f}\t{text}" for t_ms, text in _nmea(plan)])
    _write(out / "script.toml", [_script_entry(line) for line in plan.script])
    (out / "drive.toml").write_text(_header(plan), encoding="utf-8")


def _nmea(plan: Plan) -> list[tuple[float, str]]:
    route = Route(Position(44.0213, -100.3577), 72.0, 0.05)
    rows = sentences(
        np.random.default_rng(plan.seed + 100),
        start=utc(plan.start_utc),
        seconds=plan.seconds,
        rate_hz=2.0,
        route=route,
        along_m=plan.along_m,
        first_fix_s=plan.first_fix_s,
    )
    return sorted(rows)


def _script_entry(line: str) -> str:
    t_ms, verb, *arguments = line.split()
    rest = "".join(f"{key} = {value}\n" for key, value in (a.split("=") for a in arguments))
    return f'[[at]]\nt_ms = {t_ms}\ndo = "{verb}"\n{rest}'


def _header(plan: Plan) -> str:
    floors = "".join(f"{name} = {value}\n" for name, value in plan.floors.items())
    return (
        f'format = 1\nname = "{plan.name}"\nsource = "synthetic"\ndate = {plan.start_utc[:10]}\n'
        f'place = "rendered road"\nlicence = "Apache-2.0"\nnotes = "{plan.notes}"\nunit = "unit-07"\n'
        f'start_utc = {plan.start_utc}\nrecogniser = "model"\n\n'
        f'[camera]\nname = "front"\nrole = "front"\nfps = {FPS}\nwidth_px = {WIDTH_PX}\nheight_px = {HEIGHT_PX}\n\n'
        f"[floors]\n{floors}"
    )


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
