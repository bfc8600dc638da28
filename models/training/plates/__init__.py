"""Synthetic licence plates: designs, renderer and the shards the recipes train on."""

from models.training.plates.render import Plate, PlateRenderer, render_plate

__all__ = ["Plate", "PlateRenderer", "render_plate"]
