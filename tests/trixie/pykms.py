"""Test only: picamera2 imports this package for previews on a screen, which nothing here has."""

from __future__ import annotations


class _Anything(type):
    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_Anything):
    """Every name exists."""


class PlaneType(metaclass=_Anything):
    """Every name exists."""
