"""Metrics in the text format of Prometheus (version 0.0.4), and their names from those of counters and gauges.

Never plates, ids of records, or anything else that a stranger can choose freely: names come from lists in the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OF_TYPE = re.compile(r"(?P<name>.+)\.(?P<type>[a-z_]+/\d+)")
_INVALID = re.compile(r"[^a-zA-Z0-9_]")

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value."""

    name: str
    kind: Kind
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""
    """Of a histogram: ``_bucket``, ``_sum`` or ``_count``."""


def metric_name(prefix: str, name: str, kind: Kind) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the metric of a counter or gauge with a dotted name, and its labels.

    ``frames.dropped`` is ``PREFIX_frames_dropped_total``; ``outbox.waiting.read/1`` is
    ``PREFIX_outbox_waiting_by_type`` with the label ``type``.
    """
    labels: tuple[tuple[str, str], ...] = ()
    typed = _OF_TYPE.fullmatch(name)
    if typed is not None:
        name, labels = f"{typed['name']}.by_type", (("type", typed["type"]),)
    suffix = "_total" if kind == "counter" else ""
    return f"{prefix}_{_INVALID.sub('_', name)}{suffix}", labels


def samples_of(prefix: str, counters: Mapping[str, int], gauges: Mapping[str, int]) -> list[Sample]:
    """Return all counters and gauges as metrics."""
    found = []
    kinds: tuple[tuple[Kind, Mapping[str, int]], ...] = (("counter", counters), ("gauge", gauges))
    for kind, values in kinds:
        for name, value in values.items():
            metric, labels = metric_name(prefix, name, kind)
            found.append(Sample(metric, kind, value, labels))
    return found


def exposition(samples: Iterable[Sample]) -> str:
    """Return the text; samples of one name are put together."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, found in sorted(by_name.items()):
        lines.append(f"# TYPE {name} {found[0].kind}")
        lines += [f"{name}{sample.suffix}{_labels(sample)} {_number(sample.value)}" for sample in found]
    return "".join(f"{line}\n" for line in lines)


def _labels(sample: Sample) -> str:
    if not sample.labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
