"""All hardware and I/O (camera, receiver, pins, network, board, clock) behind the ports in :mod:`hw.ports`.

Each port has real and simulated back ends that pass the same contract tests; only :mod:`hw.open` imports
them.  ``hw`` never imports ``agent``.
"""
