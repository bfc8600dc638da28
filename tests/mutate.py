"""``make mutate``: applies each change of ``tests.mutations`` to a copy of the tree, runs the tests that should notice.

Changes that no test notices are listed at the end; exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_S = 600
_TESTS_FAILED = 1
_COPIED = {".py", ".toml", ".conf", ".sql", ""}
"""Suffixes of files that are copied; the others are linked: drives, models and goldens are not changed."""


def copy_tree(target: Path) -> None:
    """Copy what git has, and what is new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if not source.is_file():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in _COPIED:
            shutil.copy2(source, copy)
        else:
            copy.symlink_to(source)


def run_tests(tree: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run tests in a tree, the quick generated examples only; raises subprocess.TimeoutExpired."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile",
        "fast",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, *tests],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def try_one(tree: Path, mutation: Mutation) -> str:
    """Return ``caught``, ``SURVIVED``, or what went wrong."""
    path = tree / mutation.path
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return "does not apply"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        done = run_tests(tree, mutation.tests)
    except subprocess.TimeoutExpired:
        return "caught"  # the tests hang
    finally:
        path.write_text(text, encoding="utf-8")
    if done.returncode == 0:
        return "SURVIVED"
    return "caught" if done.returncode == _TESTS_FAILED else f"tests cannot run: {done.stdout[-300:]}"


def main() -> None:
    """Run all changes, or those whose name contains a word; ``--jobs`` at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests on the unchanged tree first"
    )
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args()
    chosen = [one for one in MUTATIONS if not asked.words or any(word in one.name for word in asked.words)]
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="patrol-mutate-") as folder:
        trees = threading.local()

        def attempt(number: int, mutation: Mutation) -> None:
            if not hasattr(trees, "own"):
                trees.own = Path(folder) / str(threading.get_ident())
                copy_tree(trees.own)
            results[mutation.name] = try_one(trees.own, mutation)
            print(f"{number + 1}/{len(chosen)} {results[mutation.name]:10} {mutation.name}", flush=True)

        if not asked.no_baseline:
            tree = Path(folder) / "baseline"
            copy_tree(tree)
            done = run_tests(tree, tuple(sorted({test for one in chosen for test in one.tests})))
            if done.returncode:
                sys.exit(f"the tests fail on the unchanged tree:\n{done.stdout[-3000:]}")
        with ThreadPoolExecutor(asked.jobs) as pool:
            list(pool.map(attempt, range(len(chosen)), chosen))
    left = [f"{result}: {name}" for name, result in results.items() if result != "caught"]
    print(f"{len(results) - len(left)} of {len(results)} changes were caught")
    sys.exit("\n".join(left) if left else 0)


if __name__ == "__main__":
    main()
