"""Everything that can surprise us (camera, receiver, pins, network, board, clock), behind :mod:`hw.ports`.

Each port has real and simulated back ends that pass the same contract tests; :mod:`hw.open` is the only
chooser.  ``hw`` never imports ``agent``.
"""
