"""Counters of the uplink; ``docs/counters.md`` explains each."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(slots=True)
class UplinkCounts:
    """Since the start of the process."""

    link_ups: int = 0
    link_downs: int = 0
    link_faults: int = 0
    """Connections closed because of an unreadable packet or a defect."""
    records_sent: int = 0
    """Records published, including those published again."""
    resent: int = 0
    """Records to be published again because the link was lost or the receipt is overdue."""
    chunks_sent: int = 0
    acked: int = 0
    refused: int = 0
    """Messages refused by the broker."""
    held_back: int = 0
    """Times that a record was held back because the broker did not accept it; it is retried."""
    pauses: int = 0
    """Pauses in sending because the station or the broker refused messages."""
    picture_pauses: int = 0
    """Pauses of pictures because their chunks had no effect."""
    too_large: int = 0
    """Messages not sent because they are larger than the broker accepts."""
    not_taken: int = 0
    """Publishes that the link did not accept; they were retried."""
    receipts: int = 0
    nacks: int = 0
    overdue: int = 0
    """Number of overdue receipts."""
    quarantined: int = 0
    pictures_held: int = 0
    picture_resumes: int = 0
    malformed: int = 0
    """Messages from the station that could not be decoded."""
    foreign: int = 0
    """Messages not for this unit, or about files that it does not accept."""
    forged: int = 0
    """Receipts and nacks not signed by a key of the station; ignored."""
    health_sent: int = 0
    health_replaced: int = 0
    reports_sent: int = 0
    """Reports on updates published."""
    witness_answers_sent: int = 0
    """Answers to checkpoints of the station's audit log published."""

    def snapshot(self) -> UplinkCounts:
        """Return a copy."""
        return replace(self)
