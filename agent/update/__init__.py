"""Signed updates of code, models and configuration: are they whole, and do they fit this unit."""
