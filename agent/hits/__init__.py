"""Hits: reads that match a hot list, the queue of those that nobody decided on, and their enforced verification.

Pure: no threads, no clock, no files; :mod:`agent.runtime.hits` has those.
"""
