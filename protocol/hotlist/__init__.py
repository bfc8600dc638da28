"""Signed hot lists: packed columns, manifest, package, delta."""
