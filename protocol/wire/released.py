"""The record types of this version: one module each in :mod:`protocol.wire.records`; there is no other list."""

from __future__ import annotations

import importlib
import pkgutil

from protocol.wire import records
from protocol.wire.registry import Registry


def released_registry() -> Registry:
    """Find ``RECORD_TYPE`` in every module of :mod:`protocol.wire.records`."""
    modules = (
        importlib.import_module(f"{records.__name__}.{found.name}")
        for found in pkgutil.iter_modules(records.__path__)
    )
    return Registry(tuple(sorted((module.RECORD_TYPE for module in modules), key=lambda known: str(known.schema))))
