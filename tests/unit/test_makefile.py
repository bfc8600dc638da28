"""What `make TARGET` starts is there and takes the options that it is given."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
RULE = re.compile(r"^(?P<target>[a-z-]+):(?!=)[^\n]*\n(?P<recipe>(?:\t[^\n]*\n)+)", re.MULTILINE)
RECIPES = {
    rule["target"]: re.sub(r"\\\n\s*", "", rule["recipe"]).strip().splitlines() for rule in RULE.finditer(MAKEFILE)
}
TARGETS = next(line for line in MAKEFILE.splitlines() if line.startswith(".PHONY:")).split()[1:]
PYTHON = re.compile(r"\$\((?:BIN|TRAIN)\)(?:/bin)?/python -m (?P<module>\S+)(?P<arguments>.*)")
OTHERS = {"pytest", "pip", "venv"}


def started():
    """Target, module and arguments of everything of ours that the recipes start with Python."""
    for target, recipe in RECIPES.items():
        for line in recipe:
            found = PYTHON.search(re.sub(r"\$\(if \S+ *,([^)]*)\)|\$\(or [^)]*\)", r"\1", line))
            if found and found["module"] not in OTHERS:
                yield target, found["module"], found["arguments"]


STARTED = list(started())


def options(arguments):
    return [word for word in arguments.split() if word.startswith("--")]


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_is_valid(target):
    """Its prerequisites exist or have rules; nothing is run."""
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    help_line = rf"^{target}:.*## \S"
    assert target in {"help", *RECIPES} or re.search(help_line, MAKEFILE, re.MULTILINE)


def test_make_targets_with_programs_are_found():
    """The tests below are not vacuous."""
    assert {target for target, _, _ in STARTED} >= {
        "torture", "soak", "fuzz", "bench", "accuracy", "train-detector", "train-ocr", "drives",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("target", "module", "arguments"), STARTED, ids=[target for target, _, _ in STARTED])
def test_programs_of_make_targets_accept_their_options(target, module, arguments):
    """Training needs a library that only its own environment has: of those programs only the text is looked at."""
    path = ROOT / module.replace(".", "/")
    source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    knows = source.read_text()
    if "import torch" not in "".join(file.read_text() for file in source.parent.glob("*.py")):
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        knows = done.stdout
    assert [option for option in options(arguments) if option not in knows] == []


@pytest.mark.slow
def test_make_demo_options_are_valid():
    (line,) = RECIPES["demo"]
    words = shlex.split(line.replace("$(BIN)/patrol-lpr", "cli"))
    done = subprocess.run(
        [sys.executable, "-m", *words[:2], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [option for option in words if option.startswith("--") and option not in done.stdout] == []


def test_every_path_that_a_recipe_names_exists():
    """Tests that pytest is given, scripts that shellcheck looks at, our own scripts."""
    named = {
        word
        for recipe in RECIPES.values()
        for line in recipe
        for word in re.findall(r"(?<![\w$/.)=-])(?:tests|provision|models|\.ci)(?:/[\w.-]+)*", line)
    }
    assert {"tests", "tests/system", ".ci/system-packages", "provision/install.sh"} <= named
    assert [name for name in named if "." not in name.removeprefix(".ci") or "/" in name
            if not (ROOT / name).exists() and not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []  # fmt: skip
