"""What the uplink counts; ``docs/counters.md`` explains each."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(slots=True)
class UplinkCounts:
    """Since the start of the process."""

    link_ups: int = 0
    link_downs: int = 0
    link_faults: int = 0
    """Connections given up because of a packet that could not be read, or of a defect."""
    records_sent: int = 0
    """Records published, those published again included."""
    resent: int = 0
    """Records that have to be published again: the link went, or the receipt is overdue."""
    chunks_sent: int = 0
    acked: int = 0
    refused: int = 0
    """Messages the broker refused."""
    held_back: int = 0
    """Times that a record was held back because the broker did not take it; it is tried again."""
    pauses: int = 0
    """Times that nothing was sent for a while because the station or the broker refused."""
    picture_pauses: int = 0
    """Times that pictures waited because what was sent of them led to nothing."""
    too_large: int = 0
    """Messages not sent because they are larger than the broker takes."""
    not_taken: int = 0
    """Publishes that the link did not take; they were tried again."""
    receipts: int = 0
    nacks: int = 0
    overdue: int = 0
    """Times that a receipt did not come in time."""
    quarantined: int = 0
    pictures_held: int = 0
    picture_resumes: int = 0
    malformed: int = 0
    """Messages from the station's side that could not be read."""
    foreign: int = 0
    """Messages that were not for this unit, or about files that it does not take."""
    forged: int = 0
    """Answers that no key of the station has signed; they change nothing."""
    health_sent: int = 0
    health_replaced: int = 0
    reports_sent: int = 0
    """Reports on updates published."""

    def snapshot(self) -> UplinkCounts:
        """Return a copy."""
        return replace(self)
