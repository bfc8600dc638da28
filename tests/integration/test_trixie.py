"""Debian trixie, Python 3.13, NumPy 2, LiteRT: the fast tests, and picamera2 itself on libcamera's virtual camera."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.chroot import base_tar, requirements, run, unpacked

# Building the root is part of whichever test comes first.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
PACKAGES = (
    "ca-certificates",
    "python3",
    "python3-venv",
    "python3-libcamera",
    "libcamera-ipa",
    "libcamera-tools",
    "python3-numpy",
    "python3-pil",
    "python3-dev",
    "gcc",
    "make",
    "libc6-dev",
    "libcap-dev",
)
CAMERA = """
"Virtual0":
  supported_formats:
  - width: 1280
    height: 720
    frame_rates: [30, 60]
  - width: 640
    height: 480
    frame_rates: [30]
  frames:
    path: "/frames/"
  location: "CameraLocationFront"
  model: "pictures of a drive"
"""
PARTS = (
    "protocol",
    "agent",
    "hw",
    "console",
    "station",
    "provision",
    "updater",
    "cli",
    "models",
    "tests",
    "docs",
    "systemd",
    "bench",
    ".ci",
)
NOT_FOR_TESTS = ("atheris", "import-linter", "mypy", "ruff")
"""Of the development tools: the linters run once, on the other Python; fuzzing has its own command."""
CYCLES = int(os.environ.get("PATROL_CAMERA_CYCLES", "40"))


@pytest.fixture(scope="module")
def trixie(tmp_path_factory, repo):
    """A root with the product's sources under /src; what it needs is installed, the product itself is not."""
    needs = [line for line in requirements(repo, "station", "report", "dev") if not line.startswith(NOT_FOR_TESTS)]
    tar = base_tar("trixie", PACKAGES, ("picamera2", "hatchling", "editables", *needs))
    with unpacked(tar, tmp_path_factory.mktemp("trixie")) as root:
        source = root / "src"
        source.mkdir()
        for part in PARTS:
            shutil.copytree(repo / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (*repo.glob("*.md"), repo / "pyproject.toml", repo / "LICENSE", repo / "Makefile"):
            shutil.copy(file, source)
        # picamera2 imports it by this name.
        shutil.copy(repo / "tests/trixie/pykms.py", source / "pykms.py")
        # The distribution's own data: its version goes into every read.
        run("chroot", str(root), "/venv/bin/pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
            "--no-index", "--editable", "/src")  # fmt: skip
        # The disk this stands on, as a mount that can be seen from inside: one test looks for it.
        run("mount", "--bind", str(source), str(root / "mnt"))
        yield root
        run("umount", str(root / "mnt"))


def test_camera_on_real_picamera2(trixie, repo):
    """Opens the granted formats, gives the newest frame, reads plates, recovers from stalls, leaks nothing."""
    run("chroot", str(trixie), "gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", "/usr/lib/dma_heap.so",
        "/src/tests/trixie/dma_heap.c", "-ldl")  # fmt: skip
    (trixie / "usr/share/libcamera/pipeline/virtual").mkdir(parents=True, exist_ok=True)
    (trixie / "usr/share/libcamera/pipeline/virtual/virtual.yaml").write_text(CAMERA)
    (trixie / "frames").mkdir()
    for number, at in enumerate(range(10, 60, 9)):
        shutil.copy(repo / f"tests/drives/city-day/frames/{at:04d}.jpg", trixie / f"frames/{number}.jpg")
    command = "cd /src && exec /venv/bin/python -m tests.trixie.contract"
    found = json.loads(
        run("chroot", str(trixie), "env", "LD_PRELOAD=/usr/lib/dma_heap.so", "LIBCAMERA_LOG_LEVELS=*:ERROR",
            "sh", "-c", f"{command} {CYCLES}").splitlines()[-1]
    )  # fmt: skip
    assert found["python"].startswith("3.13.")
    assert found["runtime"] == "litert"
    assert (found["main"], found["shape"]) == (["NV12", 1280, 720], [720, 1280, 3])
    assert found["pictures"] == 6
    assert found["plates_right"] >= 4
    assert found["seq_grows"]
    assert found["time_grows"]
    assert 0 <= found["age_s"] < 1.0, "the exposure time is not on the monotonic clock"
    assert found["ended"]
    assert found["asked_rgb888_got"] == "NV12", "the pipeline changed the format, and was believed"
    assert found["odd_shape"] == [720, 1280, 3]
    assert found["lores"] == [480, 640, 3]
    assert found["same_scene"] < 12
    assert found["stalled"]
    assert found["after_stall"]
    assert found["cycles"] == CYCLES
    assert found["files_late"] <= found["files_early"], "opening and closing leaks files"
