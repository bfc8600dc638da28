"""Signed updates of code, models and configuration: fetching and trial."""
