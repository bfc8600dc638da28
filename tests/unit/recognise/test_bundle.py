"""A bundle matches its contract exactly, or it is refused."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import BundleError
from agent.recognise.bundle import load_active, load_bundle, run_golden
from agent.recognise.interpreter import RuntimeKind, RuntimeMissingError, choose_runtime, installed_runtimes
from tests.runtimes import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.recognise.bundle import Bundle

KINDS = ("detector", "ocr")


def active(repo: Path, kind: str) -> Bundle:
    return load_active(repo / "models")[KINDS.index(kind)]


@pytest.fixture
def copy(repo: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        target = tmp_path / kind
        shutil.copytree(active(repo, kind).folder, target)
        return target

    return make


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "bundle.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_shipped_bundles_pass_their_golden_on_every_runtime(repo: Path, kind: str, runtime: RuntimeKind) -> None:
    """What was exported is what runs here, whichever runtime is installed."""
    result = run_golden(active(repo, kind), runtime)

    assert result.runtime is runtime
    assert result.passed, result


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_input_filled_in_place_gives_the_same_outputs(repo: Path, kind: str, runtime: RuntimeKind) -> None:
    """Written without a copy, again and again: no runtime refuses to run, and the outputs are those of a copy."""
    bundle = active(repo, kind)
    model = bundle.open(runtime=runtime)
    with np.load(bundle.folder / "golden.npz") as golden:
        tensors = golden["input"][:2]
    for tensor in tensors:
        expected = model.invoke(tensor[np.newaxis])
        model.input_tensor()[:] = 0
        model.run()
        model.input_tensor()[:] = tensor
        outputs = model.run()
        assert all((output == other).all() for output, other in zip(outputs, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_model_file_is_refused(copy: Callable[[str], Path], kind: str) -> None:
    """One flipped bit in the weights is noticed before the model is loaded."""
    folder = copy(kind)
    data = bytearray((folder / "model.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.tflite").write_bytes(data)

    with pytest.raises(BundleError, match="sha256"):
        load_bundle(folder, kind=kind)


@pytest.mark.parametrize("name", ["model.tflite", "bundle.toml", "CARD.md", "golden.npz"])
def test_an_incomplete_bundle_is_refused(copy: Callable[[str], Path], name: str) -> None:
    """Every file is needed, the card as much as the model."""
    folder = copy("ocr")
    (folder / name).unlink()

    with pytest.raises(BundleError, match=name):
        load_bundle(folder, kind="ocr")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "format 2"),
        ('"0123456789', '"1123456789', "twice"),
        ("blank = 36", "blank = 35", "blank is 35"),
        ("zero_point = -128", "zero_point = 0", "zero point"),
        ("64, 128, 3", "64, 96, 3", "shape"),
        ('licence = "', 'extra = 1\nlicence = "', "extra"),
        ('kind = "ocr"', 'kind = "detector"', "kind"),
        ("shape = [1, 1]", "shape = [1, 2]", "one_line has shape"),
        ("[outputs.one_line]", "[outputs.other]", "one_line is missing"),
    ],
)
def test_bundle_with_mismatched_contract_is_refused(
    copy: Callable[[str], Path], old: str, new: str, said: str
) -> None:
    """Alphabet, shapes, quantisation, unknown keys: any mismatch stops the agent and says which."""
    folder = copy("ocr")
    edit(folder, old, new)

    with pytest.raises(BundleError, match=said):
        load_bundle(folder, kind="ocr").open()


def test_detector_bundle_is_refused_as_ocr(copy: Callable[[str], Path]) -> None:
    """Swapped folders are noticed."""
    with pytest.raises(BundleError, match="kind"):
        load_bundle(copy("detector"), kind="ocr")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_broken_golden_is_refused(copy: Callable[[str], Path], content: bytes) -> None:
    """A golden that cannot be read proves nothing."""
    folder = copy("ocr")
    (folder / "golden.npz").write_bytes(content)

    with pytest.raises(BundleError, match="golden"):
        run_golden(load_bundle(folder, kind="ocr"), RuntimeKind.AUTO)


def test_a_model_that_is_not_tflite_is_refused(copy: Callable[[str], Path]) -> None:
    """Even with a fitting hash, bytes that no runtime loads are a bundle error, not a crash."""
    import hashlib  # noqa: PLC0415 - only this test needs it

    folder = copy("ocr")
    old = load_bundle(folder, kind="ocr").contract.sha256
    (folder / "model.tflite").write_bytes(b"TFL3 but not really" * 100)
    edit(folder, old, hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest())

    with pytest.raises(BundleError, match="cannot load"):
        load_bundle(folder, kind="ocr").open()


def test_active_file_without_bundles_is_refused(tmp_path: Path) -> None:
    """The error names the file to correct."""
    (tmp_path / "active.toml").write_text('detector = "x"\n')

    with pytest.raises(BundleError, match=r"active\.toml"):
        load_active(tmp_path)


def test_auto_prefers_litert() -> None:
    """LiteRT is several times faster on int8, so auto takes it where both are installed."""
    assert choose_runtime(RuntimeKind.AUTO) is RuntimeKind.LITERT
    assert set(installed_runtimes()) == set(RUNTIMES)


def test_a_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is a command that can be pasted."""
    for name in ("tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(RuntimeMissingError, match="pip install tflite-runtime"):
        choose_runtime(RuntimeKind.TFLITE)
