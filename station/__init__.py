"""The station: stores records idempotently, sends receipts, detects gaps, exports."""
