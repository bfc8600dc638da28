"""The uplink: sends records and pictures, fetches files.  docs/wire-format.md is the contract with the station."""
