"""Signed rosters: who may sign on to which unit, zones, checkpoints, equipment and planned shifts."""
