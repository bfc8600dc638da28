"""Plumbing, nothing about plates: threads, clocks, retries, configuration, command line."""
