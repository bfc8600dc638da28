"""Messages other than records: receipts and nacks, chunks of pictures, state of the unit, transfer of files."""
