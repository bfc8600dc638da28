"""The uplink: what goes over the wire, under which names, and when.

``wire`` and ``topics`` are the contract with the station (docs/wire-format.md); ``uplink`` is the unit's side.
"""
