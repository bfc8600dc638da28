"""Checkpoints of the audit log: signed, sent to units, countersigned; what offline verification needs, exported."""
