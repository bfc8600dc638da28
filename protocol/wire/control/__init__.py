"""Messages that are no records: receipts and refusals, pictures in chunks, state of the unit, transfer of files."""
