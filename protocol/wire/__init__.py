"""Messages and their bytes; docs/wire-format.md is the contract."""
