"""The receiving end: stores reads idempotently, sends receipts, detects gaps, exports."""
