"""Signed update files: container and manifest."""
