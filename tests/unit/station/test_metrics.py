"""Metrics: every counter is there, Prometheus' own parser reads them, nothing personal or unbounded in them."""

from __future__ import annotations

import http.client
import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.runtime.metrics_file import MetricsFile, metrics_path
from console.metrics import ConsoleCounts
from console.metrics import exposition as console_exposition
from protocol.metrics import Sample, exposition, metric_name, samples_of
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import UnitState
from station.errors import StationConfigError, StoreError
from station.metrics.own import COUNTERS, worker_samples
from station.metrics.server import MetricsServer, parse_listen
from station.metrics.units import UnitMetrics, unit_names
from station.store import open_store
from station.web.request_counts import RequestCounts
from tests.builders import BOOT, make_read_record
from tests.conftest import ROOT
from tests.contract.test_station_store import NOW_US
from tests.station_files import add

DOCUMENT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def documented_names():
    text = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
    counters, gauges = text.split("## Gauges")
    rows = re.compile(r"^\| `([a-z_.0-9{}]+)` \| \S", re.MULTILINE)
    return dict.fromkeys(rows.findall(counters), "counter") | dict.fromkeys(rows.findall(gauges), "gauge")


def test_every_documented_counter_of_a_unit_is_a_metric_at_the_station(bless):
    """The list beside the station's code is made from docs/counters.md, `make bless` writes it."""
    path = ROOT / "station" / "metrics" / "unit_names.json"
    if bless:
        path.write_text(json.dumps(documented_names(), indent=1) + "\n", encoding="utf-8")
    assert unit_names() == documented_names()


def test_no_two_counters_have_one_metric():
    names = [metric_name("p", name.replace("{type}", "read/1"), kind) for name, kind in unit_names().items()]
    assert len(set(names)) == len(names)
    kinds = {}
    for name, kind in unit_names().items():
        kinds.setdefault(metric_name("p", name, kind)[0], set()).add(kind)
    assert all(len(found) == 1 for found in kinds.values())


def test_every_counter_of_a_worker_is_a_metric_and_documented():
    text = (ROOT / "docs" / "station.md").read_text(encoding="utf-8").split("## Counters")[1]
    told = {
        name for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert set(COUNTERS) <= told
    names = {sample.name for sample in worker_samples([], [])}
    assert {f"patrol_lpr_station_{name}_total" for name in COUNTERS} <= names


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


def heard(store, unit, *, counters=None, gauges=None, state=UnitState.ONLINE, now_us=NOW_US):
    health = Health(
        unit=unit, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=1, counters=counters or {}, gauges=gauges or {}
    )
    status = Status(unit=unit, boot_id=BOOT, state=state, reason="", software="1", models=())
    with store.transaction():
        store.note_health(health, encode(health), now_us)
        store.note_status(status, now_us)
        store.note_seen([unit], now_us)


def test_health_of_units_is_exported_as_received(store):
    counters = {"frames.dropped": 7, "outbox.appended.read/1": 3, "outbox.appended": 3}
    heard(store, "unit-07", counters=counters, gauges={"outbox.reads_waiting": 2, "board.temperature_mc": 61_000})
    found = families(exposition(UnitMetrics(store).samples()))
    assert found["patrol_lpr_unit_frames_dropped"].samples[0].value == 7
    typed = found["patrol_lpr_unit_outbox_appended_by_type"].samples[0]
    assert (typed.labels, typed.value) == ({"unit": "unit-07", "type": "read/1"}, 3)
    assert found["patrol_lpr_unit_outbox_reads_waiting"].samples[0].value == 2
    assert found["patrol_lpr_unit_last_seen_timestamp_seconds"].samples[0].value == pytest.approx(NOW_US / 1e6)
    assert found["patrol_lpr_unit_state"].samples[0].labels == {"unit": "unit-07", "state": "online"}


def test_strangers_cannot_add_names_or_units_without_bound(store):
    """A hostile unit's own names, a type that nobody knows, and thousands of units."""
    heard(store, "unit-07", counters={"frames.evil": 1, "outbox.appended.evil/1": 1, 'x"} 1': 1})
    for number in range(20):
        heard(store, f"u{number}", counters={"frames.dropped": 1}, now_us=NOW_US + 1 + number)
    text = exposition(UnitMetrics(store, max_units=10).samples())
    found = families(text)
    assert "evil" not in text
    units = {sample.labels["unit"] for sample in found["patrol_lpr_unit_last_seen_timestamp_seconds"].samples}
    assert units == {f"u{number}" for number in range(10, 20)}
    assert found["patrol_lpr_units_not_exported"].samples[0].value == 1


def test_nothing_of_reads_is_in_the_metrics(store):
    add(store, make_read_record(1), now_us=NOW_US)
    store.stream.register("tak", ["read/1"], NOW_US)
    add(store, make_read_record(2, seq=2), now_us=NOW_US)
    heard(store, "unit-07", counters={"frames.dropped": 1})
    text = exposition(UnitMetrics(store).samples())
    assert "7ABC123" not in text
    assert (2).to_bytes(16, "big").hex() not in text
    assert families(text)["patrol_lpr_output_waiting"].samples[0].value == 1


def test_hostile_labels_are_escaped():
    samples = [Sample("a", "gauge", 1.5, (("unit", 'x"\\\n} 9'),))]
    assert families(exposition(samples))["a"].samples[0].labels == {"unit": 'x"\\\n} 9'}


def ask(port, path="/metrics", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={} if host is None else {"host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_metrics_are_served_to_this_machine():
    """A page that reached the port by another name gets nothing."""
    server = MetricsServer("127.0.0.1", 0, lambda: [Sample("a_total", "counter", 3)])
    server.start()
    try:
        assert ask(server.port) == (200, "# TYPE a_total counter\na_total 3\n")
        assert ask(server.port, "/")[0] == 404
        assert ask(server.port, host="evil.example.org")[0] == 421
        with pytest.raises(StationConfigError, match="cannot be used for metrics"):
            MetricsServer("127.0.0.1", server.port, list)
    finally:
        server.close()


def test_store_that_is_away_is_an_error_for_prometheus():
    def collect():
        raise StoreError("postgresql://db: connection refused")

    server = MetricsServer("127.0.0.1", 0, collect)
    server.start()
    try:
        assert ask(server.port) == (503, "the store cannot be read\n")
    finally:
        server.close()


def test_other_machines_cannot_be_served():
    assert parse_listen("9470") == ("127.0.0.1", 9470)
    assert parse_listen("[::1]:9470") == ("::1", 9470)
    for text in ("0.0.0.0:9470", "192.0.2.1:9470", "host:9470", "127.0.0.1:x", "127.0.0.1:99999"):
        with pytest.raises(StationConfigError):
            parse_listen(text)


def test_unit_writes_a_file_that_node_exporter_reads(tmp_path):
    """Whole or not at all; a folder that is missing stops nothing."""
    path = metrics_path("auto", {"RUNTIME_DIRECTORY": f"{tmp_path}:/other"})
    assert path == tmp_path / "patrol-lpr.prom"
    MetricsFile(path).write({"frames.dropped": 4}, {"board.throttled": 0})
    found = families(path.read_text(encoding="utf-8"))
    assert found["patrol_lpr_unit_frames_dropped"].samples[0].value == 4
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["patrol-lpr.prom"]
    MetricsFile(tmp_path / "absent" / "x.prom").write({}, {})
    assert metrics_path("off", {"RUNTIME_DIRECTORY": "/run/x"}) is None
    assert metrics_path("auto", {}) is None


def test_console_has_metrics_of_its_own():
    found = families(console_exposition(ConsoleCounts(requests=5), terminals=2, is_fresh=True))
    assert found["patrol_lpr_console_requests"].samples[0].value == 5
    assert found["patrol_lpr_console_terminals"].samples[0].value == 2


def known_metrics(store):
    """Names of all metrics, as the documents and the code have them."""
    store.stream.register("tak", ["read/1"], NOW_US)
    heard(store, "unit-07")
    names = {sample.name for sample in [*worker_samples([], []), *UnitMetrics(store).samples()]}
    requests = RequestCounts()
    requests.note(("GET", "/"), 200, 0.1)
    names |= {sample.name for sample in requests.samples()}
    names |= {metric_name("patrol_lpr_unit", name, kind)[0] for name, kind in unit_names().items()}
    return names | set(
        re.findall(r"^(\w+) \d", console_exposition(ConsoleCounts(), terminals=0, is_fresh=False), re.MULTILINE)
    )


def test_documented_metrics_are_those_of_the_code(store):
    told = set(re.findall(r"`(patrol_lpr_\w+[a-z])`", DOCUMENT)) - {"patrol_lpr_unit_outbox_waiting_by_type"}
    known = known_metrics(store)
    assert told <= known
    listed = {metric_name("patrol_lpr_unit", name, kind)[0] for name, kind in unit_names().items()}
    assert known - listed - {f"patrol_lpr_station_{name}_total" for name in COUNTERS} <= told


def test_dashboard_uses_metrics_that_exist(store):
    dashboard = json.loads((ROOT / "provision" / "station" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    text = json.dumps(dashboard)
    used = {name.removesuffix("_bucket") for name in re.findall(r"patrol_lpr_\w+", text)}
    assert len(used) > 25
    assert used <= known_metrics(store)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert all(target["expr"] for target in panel.get("targets", []))


def test_all_values_of_a_health_message_are_samples():
    samples = samples_of("p", {"a.b": 1}, {"c": 2})
    assert [(sample.name, sample.kind, sample.value) for sample in samples] == [
        ("p_a_b_total", "counter", 1), ("p_c", "gauge", 2),
    ]  # fmt: skip
