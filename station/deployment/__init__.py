"""Deployment of people and resources, and what became of it: pure, without a database.

Who plans sees employees' data; ``station.query.deployment`` and ``station.planning`` ask for a purpose and write the
audit trail.
"""
