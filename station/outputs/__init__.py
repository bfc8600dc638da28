"""Outputs: hits and reads for other systems, as consumers of the store's stream of new records.

Each output delivers at least once, in order, and only what its table in ``station.toml`` shares; what it sends is in
the audit trail before it leaves.
"""
