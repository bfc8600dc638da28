"""The recogniser's runtimes that can exist for this interpreter; a missing one of these is a failure."""

from __future__ import annotations

import sys

from agent.recognise.interpreter import RuntimeKind

# tflite-runtime has no wheel for Python 3.12 and later (pyproject.toml asks for it with the same marker).
RUNTIMES = (RuntimeKind.LITERT, RuntimeKind.TFLITE) if sys.version_info < (3, 12) else (RuntimeKind.LITERT,)
