"""HTML report of a drive in one self-contained file: track, reads with pictures, timing, counters."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError
from agent.records import UNKNOWN_REGION
from cli.report_truth import missed, verdict
from cli.terminal import shown_region
from hw.output import OutputError, text_output
from protocol.wire.enums import GeotagMethod, PictureKind, TimeSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.records import Read
    from cli.replay import ReplayResult
    from hw.drive_format import Drive
    from protocol.wire.parts import Place
    from protocol.wire.records.read import Read as ReadBody

_NS_PER_S = 1_000_000_000
_US_PER_S = 1_000_000
_METHOD_COLOURS = {
    GeotagMethod.INTERPOLATED: "#1f7a4d",
    GeotagMethod.EXTRAPOLATED: "#d08700",
    GeotagMethod.STALE: "#c0392b",
}
_NO_METHOD = "#777777"
_GOOD = 0.9


@dataclass(frozen=True, slots=True)
class StationView:
    """Contents of the station at the end."""

    reads: int
    duplicates: int
    missing: int
    pictures: int


def check_libraries() -> None:
    """Raise ConfigError if the libraries of the extra ``report`` are missing: before a long run, not after it."""
    if any(find_spec(name) is None for name in ("jinja2", "matplotlib")):
        raise ConfigError("reports need matplotlib and jinja2: in the checkout, pip install -e '.[report]'")


def write_report(
    path: Path, drive: Drive, result: ReplayResult, station: StationView, shown: frozenset[str] = frozenset()
) -> None:
    """Write the report; ``shown`` are the plates that should be read.

    Raises OutputError, and ConfigError if the libraries of the extra ``report`` are missing.
    """
    check_libraries()
    import jinja2  # noqa: PLC0415 - an extra: the vehicle needs none of this

    source = files("cli").joinpath("report.html.j2").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    header = drive.header
    html = template.render(
        title=f"Drive {header.name}",
        subtitle=f"{header.source}, {header.place}, {header.date}; unit {header.unit}. {header.notes}",
        tiles=[*_tiles(result, station), *_truth_tiles(drive, result, shown)],
        drive_figures=[_plot_way(result), _plot_time(result)],
        reads=[_card(drive, read) for read in result.reads],
        missed=missed(drive, shown, result.reads),
        has_truth=bool(drive.truth),
        time_figures=_plot_latency(result),
        counters=sorted(counters_of(result).items()),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made: {error.strerror}; use another folder") from error
    with text_output(path) as out:
        out.write(html)


def counters_of(result: ReplayResult) -> dict[str, int]:
    """All counters of a replay, summed over its boots."""
    totals: dict[str, int] = {"boots": result.boots, "rereads.suppressed": result.rereads}
    groups: list[tuple[str, list[Any]]] = [
        ("frames", result.visions),
        ("tracks", result.trackers),
        ("uplink", result.uplinks),
        ("outbox", [result.outbox] if result.outbox else []),
    ]
    for prefix, parts in groups:
        for part in parts:
            for name, value in _named(asdict(part)):
                totals[f"{prefix}.{name}"] = totals.get(f"{prefix}.{name}", 0) + value
    return totals


def _named(counts: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Counters with their names; those of each record type as in docs/counters.md, the type last."""
    for name, value in counts.items():
        if isinstance(value, Mapping):
            yield from ((f"{counter}.{kind}", n) for kind, own in value.items() for counter, n in own.items())
        elif not isinstance(value, bytes):
            # A hash, such as the head of the series, is no counter.
            yield name, value or 0


def _tiles(result: ReplayResult, station: StationView) -> list[dict[str, str]]:
    frames = sum(counts.frames for counts in result.visions)
    outbox = result.outbox
    values = {
        "frames": f"{frames}",
        "reads": f"{len(result.reads)}",
        "at the station": f"{station.reads}",
        "resent": f"{station.duplicates}",
        "missing": f"{station.missing}",
        "waiting": f"{outbox.reads if outbox else 0}",
        "evicted": f"{outbox.evicted_reads if outbox else 0}",
        "re-reads suppressed": f"{result.rereads}",
        "median ms per frame": f"{statistics.median(result.frame_ms):.1f}" if result.frame_ms else "-",
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _truth_tiles(drive: Drive, result: ReplayResult, shown: frozenset[str]) -> list[dict[str, str]]:
    """Reads against the ground truth; nothing for a drive that has none."""
    if not drive.truth:
        return []
    wrong = sum(not verdict(drive, read)[0] for read in result.reads)
    right = len(shown & {read.body.text for read in result.reads})
    return [
        {"name": "plates shown and read", "value": f"{right} of {len(shown)}"},
        {"name": "plates missed", "value": f"{len(shown) - right}"},
        {"name": "wrong reads", "value": f"{wrong}"},
    ]


def _card(drive: Drive, read: Read) -> dict[str, Any]:
    pictures = {p.kind: base64.b64encode(p.jpeg).decode() for p in read.pictures}
    body = read.body
    method = body.place.method
    tags = [{"name": method.value, "kind": "method", "colour": _METHOD_COLOURS.get(method, _NO_METHOD)}]
    is_right, judged = verdict(drive, read) if drive.truth else (True, "")
    if judged:
        tags.insert(0, {"name": judged, "kind": "good" if is_right else "bad"})
    if body.single_frame:
        tags.append({"name": "single frame", "kind": "warn"})
    if read.plate.confidence < _GOOD:
        tags.append({"name": "verify", "kind": "warn"})
    return {
        "text": body.text,
        "region": "region unknown"
        if body.region == UNKNOWN_REGION
        else shown_region(body.region, read.plate.region_confidence),
        "confidence": f"{read.plate.confidence:.0%}",
        "frames": f"{body.n_agreeing} of {body.n_sightings} frames",
        "when": _when(body),
        "where": _where(body.place),
        "plate": pictures.get(PictureKind.PLATE, ""),
        "scene": pictures.get(PictureKind.OVERVIEW, ""),
        "is_right": is_right,
        "tags": tags,
    }


def _when(read: ReadBody) -> str:
    if read.utc_us is None:
        return "no time yet (time anchor follows)"
    text = datetime.fromtimestamp(read.utc_us / _US_PER_S, UTC).strftime("%H:%M:%S.%f")[:-3]
    doubt = "" if read.time.source is TimeSource.GNSS else f" ({read.time.source})"
    return f"{text} UTC ± {read.time.uncertainty_ms} ms{doubt}"


def _where(place: Place) -> str:
    if place.lat_deg is None or place.lon_deg is None:
        return "no fix"
    error = "" if place.error_m is None else f" ± {place.error_m:.0f} m"
    return f"{place.lat_deg:.5f}, {place.lon_deg:.5f}{error}"


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(title: str) -> tuple[Any, Any]:
    """A figure of its own for each plot: they lie beside or below each other as the page is wide."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.tick_params(labelsize=9)
    return figure, axes


def _plot_way(result: ReplayResult) -> str:
    figure, way = _axes("positions of the reads")
    way.plot([f.lon_deg for f in result.fixes], [f.lat_deg for f in result.fixes], color="#9aa4ad", linewidth=2)
    for method, colour in _METHOD_COLOURS.items():
        placed = [r.body.place for r in result.reads if r.body.place.method is method]
        if placed:
            lon_deg, lat_deg = [p.lon_deg or 0.0 for p in placed], [p.lat_deg or 0.0 for p in placed]
            way.scatter(lon_deg, lat_deg, color=colour, s=34, zorder=3, label=method.value)
    if result.fixes:
        way.set_aspect("equal", adjustable="datalim")
    way.ticklabel_format(useOffset=False)
    way.locator_params(nbins=3)
    if way.get_legend_handles_labels()[0]:
        way.legend(fontsize=9)
    return _svg(figure)


def _plot_time(result: ReplayResult) -> str:
    figure, line = _axes("outbox over time; triangles are reads")
    times_s, waiting = [t / _NS_PER_S for t, _ in result.waiting], [n for _, n in result.waiting]
    line.step(times_s, waiting, where="post", color="#2a6fb0")
    line.set_ylabel("pending reads", fontsize=9)
    line.set_xlabel("seconds", fontsize=9)
    # Room for the names of the moments above the highest value.
    line.set_ylim(0, max([*waiting, 1]) * 2)
    top = line.get_ylim()[1]
    for moment in result.moments:
        x = moment.t_mono_ns / _NS_PER_S
        line.axvline(x, color="#c0392b", linewidth=0.8, linestyle=":")
        line.text(x, top, f" {moment.what} ", rotation=90, va="top", ha="right", fontsize=8, color="#c0392b")
    for read in result.reads:
        line.plot([read.body.mono_us / _US_PER_S], [0], marker="^", color="#2a6fb0", markersize=6, clip_on=False)
    return _svg(figure)


def _plot_latency(result: ReplayResult) -> list[str]:
    over_time, by_frame = _axes("vision step, ms per frame")
    by_frame.plot(result.frame_ms, color="#2a6fb0", linewidth=0.8)
    spread, shares = _axes("distribution of the vision step, ms")
    if result.frame_ms:
        p99_ms = sorted(result.frame_ms)[int(len(result.frame_ms) * 0.99)]
        shares.hist(result.frame_ms, bins=30, range=(0, p99_ms * 1.1), color="#2a6fb0")
    sure, values = _axes("confidence of the reads")
    values.hist([r.plate.confidence for r in result.reads], bins=20, range=(0, 1), color="#2a6fb0")
    return [_svg(figure) for figure in (over_time, spread, sure)]
