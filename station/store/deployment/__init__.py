"""Tables of deployment: a PostgreSQL schema of their own, or names with a prefix in the SQLite file."""

from __future__ import annotations

from station.store.deployment.port import CoverageSum, DeploymentStore, Kept

__all__ = ["CoverageSum", "DeploymentStore", "Kept"]
