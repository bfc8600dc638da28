"""``patrol-lpr outbox``: pending and quarantined records; sequence numbers and ids, never plate texts."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.buffer import OutboxReader, life_of, open_outbox
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxError
from agent.runtime.lock import state_folder
from agent.runtime.stages import build_sealer
from agent.sync.encoder import RecordEncoder
from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from hw.clock import RealClock
from protocol.wire.released import released_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.buffer import Outbox
    from agent.runtime.config import AgentConfig

_MAX_LISTED = 200
_OF_READS = ("reads", "others", "appended", "receipted", "evicted_reads")


def show(state_dir: Path, *, as_json: bool = False) -> int:
    """Print the counters."""
    reader = OutboxReader(state_dir / FILE_NAME)
    stats = reader.stats()
    reader.close()
    values = {name: getattr(stats, name) for name in _OF_READS} | asdict(stats)
    del values["link"]  # of the chain: no counter
    if as_json:
        print_json(values)
        return 0
    table = TextTable("outbox", "value", title=str(state_dir / FILE_NAME))
    del values["types"]
    for name, value in values.items():
        table.add_row(name.replace("_", " "), "-" if value is None else f"{value:,}")
    for schema, counts in stats.types.items():
        for name, value in asdict(counts).items():
            table.add_row(f"{schema} {name}", f"{value:,}")
    print_table(table)
    return 0


def listing(state_dir: Path, *, quarantined: bool, as_json: bool = False) -> int:
    """Print the oldest pending records, or the quarantined ones."""
    reader = OutboxReader(state_dir / FILE_NAME)
    if quarantined:
        rows = [(row, str(code)) for row, code in reader.quarantined(limit=_MAX_LISTED)]
    else:
        rows = [(row, "") for row in reader.records(after_seq=0, limit=_MAX_LISTED)]
    reader.close()
    values: list[dict[str, object]] = [
        {"seq": row.seq, "type": row.schema, "id": row.record_id.hex(), "bytes": len(row.payload)}
        | ({"reason": reason} if quarantined else {})
        for row, reason in rows
    ]
    if as_json:
        print_json(values)
        return 0
    table = TextTable("seq", "type", "id", "bytes", *(["reason"] if quarantined else []))
    for value in values:
        table.add_row(*(str(cell) for cell in value.values()))
    print_table(table)
    return 0


def requeue(config: AgentConfig) -> int:
    """Send quarantined records again; the agent must be stopped."""
    with _opened(config) as outbox:
        count = outbox.requeue()
    PlainConsole().print(f"{count} records are pending again")
    return 0


def discard(config: AgentConfig) -> int:
    """Delete quarantined records permanently, with a tombstone; the agent must be stopped."""
    total = 0
    with _opened(config) as outbox:
        while count := outbox.discard(_MAX_LISTED):
            total += count
    PlainConsole().print(f"{total} records deleted; the station will be told")
    return 0


@contextmanager
def _opened(config: AgentConfig) -> Iterator[Outbox]:
    """Hold the outbox alone; raises OutboxError if there is none, StateFolderInUseError while the agent runs."""
    path = config.state_dir / FILE_NAME
    if not path.exists():
        raise OutboxError(f"{path}: no outbox; the agent creates it at its first start")
    encoder = RecordEncoder(
        config.unit,
        config.agency,
        RealClock().boot_id,
        released_registry(),
        build_sealer(config),
        life_of(config.state_dir),
    )
    with state_folder(config.state_dir), closing(open_outbox(config.state_dir, encoder)[0]) as outbox:
        yield outbox
