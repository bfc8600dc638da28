"""Kept for units of release 0.1, whose systemd files call ``python -m provision.releases``."""

from __future__ import annotations

import sys

from updater.releases import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
