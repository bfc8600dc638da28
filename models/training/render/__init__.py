"""Draws the drives of `tests/drives/`: a road, houses, vehicles with plates, weather of light and lens."""
