"""Models are loaded by the threads of several cameras at once: standard error stays what it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from agent.recognise.interpreter import Model
from agent.recognise.models_folder import default_models_folder
from tests.conftest import ROOT

MODEL = next(default_models_folder().glob("ocr/*/*.tflite"))
_LOADS = f"""
import os, sys, threading
from pathlib import Path
from agent.recognise.interpreter import Model
path, n = Path({str(MODEL)!r}), int(sys.argv[1])
before = os.fstat(2)
def load():
    for _ in range(3):
        Model(path)
        os.write(2, f"line of {{threading.current_thread().name}}\\n".encode())
threads = [threading.Thread(target=load, name=f"camera-{{number}}") for number in range(n)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if not n:
    Model(path)
assert os.path.samestat(before, os.fstat(2)), "standard error has gone"
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_no_line_is_lost_while_cameras_load_their_models(threads):
    done = subprocess.run(
        [sys.executable, "-c", _LOADS, str(threads)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("line of camera-") == 3 * threads


@pytest.mark.slow
def test_banner_of_the_runtime_is_hidden_from_a_command():
    done = subprocess.run(
        [sys.executable, "-c", _LOADS, "0"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_standard_error_of_this_process_stays():
    before = os.fstat(2)
    threads = [threading.Thread(target=Model, args=(MODEL,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(before, os.fstat(2))
