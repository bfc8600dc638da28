"""Loads and verifies a model bundle, or refuses it.

A bundle is a folder: ``model.tflite``, ``bundle.toml`` (the contract), ``CARD.md`` and ``golden.npz``.  A wrong
alphabet, shape or scale would give wrong reads, so every difference between the contract, the file and what the
runtime reports is an error; the message lists all of them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from agent.errors import BundleError
from agent.recognise.interpreter import Model, RuntimeKind, TensorInfo
from protocol.written import WrittenFileError, parse_toml, read_written

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
REQUIRED_FILES = ("model.tflite", "bundle.toml", "CARD.md", "golden.npz")
MIN_GOLDEN = 1
_SCALE_TOLERANCE = 1e-6


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputContract(_Contract):
    """How a picture becomes the input tensor: int8 value = pixel / 255 quantised, RGB."""

    shape: tuple[int, int, int, int]
    dtype: str = Field(pattern="^int8$")
    scale: float = Field(gt=0)
    zero_point: int
    colour: str = Field(pattern="^RGB$")


class OutputContract(_Contract):
    """One output tensor."""

    index: int = Field(ge=0)
    shape: tuple[int, ...]
    dtype: str = Field(pattern="^int8$")
    scale: float = Field(gt=0)
    zero_point: int


class DetectorContract(_Contract):
    """How detector outputs become boxes."""

    stride: int = Field(gt=0)
    score_threshold: float = Field(gt=0, lt=1)
    nms_iou: float = Field(gt=0, lt=1)
    merge_iou: float = Field(gt=0, lt=1)
    size_base_px: float = Field(gt=0)
    oversize_px: tuple[float, float] = (0.0, 0.0)
    """Width and height by which the model's boxes are too large, in pixels of its input; subtracted."""


class OcrContract(_Contract):
    """How OCR outputs become text."""

    alphabet: str = Field(min_length=2)
    blank: int
    crop_margin_x: float = Field(ge=0, le=0.5)
    crop_margin_y: float = Field(ge=0, le=0.5)
    temperature: float = Field(gt=0)
    reject_below: float = Field(ge=0, lt=1)
    min_chars: int = Field(validation_alias=AliasChoices("min_chars", "least_chars"), default=3, ge=1, le=12)
    max_chars: int = Field(validation_alias=AliasChoices("max_chars", "most_chars"), default=10, ge=1, le=16)
    """No country issues longer texts: a longer one is from another sign, or from two plates."""
    single_line_threshold: float = Field(
        validation_alias=AliasChoices("single_line_threshold", "one_line_least"), default=0.0, ge=0, lt=1
    )
    """Probability of "the text is in one line" below which it is not reported; 0 for a model without this output."""
    regions: tuple[str, ...] = ()
    region_threshold: float = Field(default=1.0, ge=0, le=1)
    """Probability of a region from which nine of ten are right.  Less likely ones are reported as well, with their
    probability."""
    region_temperature: float = Field(default=1.0, gt=0)


class CalibrationContract(_Contract):
    """Monotone knots from raw confidence to the probability that the text is correct."""

    raw: tuple[float, ...] = Field(min_length=2)
    probability: tuple[float, ...] = Field(min_length=2)


class BundleContract(_Contract):
    """The contents of ``bundle.toml``."""

    format: int
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{2,60}$")
    kind: str = Field(pattern="^(detector|ocr)$")
    created: object
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(gt=0)
    licence: str
    input: InputContract
    outputs: dict[str, OutputContract]
    detector: DetectorContract | None = None
    ocr: OcrContract | None = None
    calibration: CalibrationContract | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified contract and the model file beside it."""

    folder: Path
    contract: BundleContract

    @property
    def model_path(self) -> Path:
        """The TFLite file."""
        return self.folder / "model.tflite"

    @property
    def model_id(self) -> str:
        """Bundle id with the first eight hex digits of its hash; part of every read."""
        return f"{self.contract.id}@{self.contract.sha256[:8]}"

    def open(self, *, runtime: RuntimeKind = RuntimeKind.AUTO, threads: int = 1) -> Model:
        """Load the model and compare what the runtime reports with the contract.

        Raises BundleError on any difference.
        """
        model = Model(self.model_path, runtime=runtime, threads=threads)
        wanted: dict[str, tuple[InputContract | OutputContract, TensorInfo]]
        wanted = {"input": (self.contract.input, model.input)}
        faults = []
        for name, output in self.contract.outputs.items():
            if output.index >= len(model.outputs):
                faults.append(f"output {name}: index {output.index}, the model has {len(model.outputs)} outputs")
            else:
                wanted[f"output {name}"] = (output, model.outputs[output.index])
        for name, (contract, actual) in wanted.items():
            faults += _differences(name, contract, actual)
        if faults:
            raise BundleError(f"{self.folder}: the model does not match its contract: " + "; ".join(faults))
        return model


def _differences(name: str, contract: InputContract | OutputContract, actual: TensorInfo) -> list[str]:
    faults = []
    if tuple(contract.shape) != actual.shape:
        faults.append(f"{name}: shape {actual.shape}, contract {tuple(contract.shape)}")
    if contract.dtype != actual.dtype:
        faults.append(f"{name}: type {actual.dtype}, contract {contract.dtype}")
    if not math.isclose(contract.scale, actual.scale, rel_tol=_SCALE_TOLERANCE):
        faults.append(f"{name}: scale {actual.scale}, contract {contract.scale}")
    if contract.zero_point != actual.zero_point:
        faults.append(f"{name}: zero point {actual.zero_point}, contract {contract.zero_point}")
    return faults


def load_bundle(folder: Path, *, kind: str) -> Bundle:
    """Read and check a bundle folder without loading the model.

    Raises BundleError, whose message lists all that is wrong.
    """
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise BundleError(f"{folder}: not a bundle, missing {', '.join(missing)}")
    try:
        raw = parse_toml(read_written(folder / "bundle.toml"))
        contract = BundleContract.model_validate(raw)
    except WrittenFileError as error:
        raise BundleError(f"{folder / 'bundle.toml'}: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BundleError(f"{folder / 'bundle.toml'}: {wrong}") from error
    faults = _contract_faults(contract, kind)
    data = (folder / "model.tflite").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != contract.sha256:
        faults.append(f"model.tflite has sha256 {digest}, contract {contract.sha256}")
    if faults:
        raise BundleError(f"{folder}: " + "; ".join(faults))
    return Bundle(folder, contract)


def _contract_faults(contract: BundleContract, kind: str) -> list[str]:
    faults = []
    if contract.format != FORMAT:
        faults.append(f"format {contract.format}, this version reads {FORMAT}")
    if contract.kind != kind:
        faults.append(f"a bundle of kind {contract.kind!r}, expected {kind!r}")
    if contract.kind == "detector":
        faults += _detector_faults(contract)
    else:
        faults += _ocr_faults(contract)
    return faults


def _detector_faults(contract: BundleContract) -> list[str]:
    if contract.detector is None:
        return ["section [detector] is missing"]
    faults = []
    _, height, width, channels = contract.input.shape
    stride = contract.detector.stride
    if channels != 3 or height % stride or width % stride:  # noqa: PLR2004 - RGB
        faults.append(f"input shape {contract.input.shape} does not fit stride {stride}")
    for name, depth in (("score", 1), ("offset", 2), ("size", 2)):
        if name not in contract.outputs:
            faults.append(f"output {name} is missing")
            continue
        wanted = (1, height // stride, width // stride, depth)
        if contract.outputs[name].shape != wanted:
            faults.append(f"output {name} has shape {contract.outputs[name].shape}, expected {wanted}")
    return faults


def _ocr_faults(contract: BundleContract) -> list[str]:
    ocr, calibration = contract.ocr, contract.calibration
    if ocr is None or calibration is None:
        return ["sections [ocr] and [calibration] are both needed"]
    faults = []
    if len(set(ocr.alphabet)) != len(ocr.alphabet):
        faults.append("the alphabet has a character twice")
    if not all(c.isascii() and (c.isdigit() or c.isupper()) for c in ocr.alphabet):
        faults.append("the alphabet has characters other than A-Z and 0-9")
    if ocr.blank != len(ocr.alphabet):
        faults.append(f"blank is {ocr.blank}, expected {len(ocr.alphabet)}: the class after the alphabet")
    symbols = contract.outputs.get("symbols")
    if symbols is None:
        faults.append("output symbols is missing")
    elif symbols.shape[-1] != len(ocr.alphabet) + 1:
        faults.append(f"output symbols has {symbols.shape[-1]} classes, the alphabet and blank make "
                      f"{len(ocr.alphabet) + 1}")  # fmt: skip
    return faults + _head_faults(contract.outputs, ocr) + _calibration_faults(calibration)


def _head_faults(outputs: dict[str, OutputContract], ocr: OcrContract) -> list[str]:
    """Return what is wrong with the outputs other than the text."""
    faults = []
    region = outputs.get("region")
    if (region.shape[-1] if region else 0) != len(ocr.regions):
        faults.append(f"{len(ocr.regions)} regions are named, output region has "
                      f"{region.shape[-1] if region else 0}")  # fmt: skip
    corners = outputs.get("corners")
    if corners is not None and corners.shape != (1, 8):
        faults.append(f"output corners has shape {corners.shape}, expected (1, 8)")
    one_line = outputs.get("one_line")
    if one_line is not None and one_line.shape != (1, 1):
        faults.append(f"output one_line has shape {one_line.shape}, expected (1, 1)")
    if one_line is None and ocr.single_line_threshold > 0:
        faults.append("single_line_threshold is set, output one_line is missing")
    return faults


def _calibration_faults(calibration: CalibrationContract) -> list[str]:
    raw, probability = calibration.raw, calibration.probability
    rising = all(a < b for a, b in itertools.pairwise(raw))
    monotone = all(a <= b for a, b in itertools.pairwise(probability))
    if len(raw) != len(probability) or not rising or not monotone:
        return ["calibration needs equal numbers of knots, raw strictly rising and probability never falling"]
    if not all(0 <= p <= 1 for p in (*raw, *probability)):
        return ["calibration knots must lie in 0..1"]
    return []


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """Outcome of running a bundle's golden on one runtime."""

    runtime: RuntimeKind
    largest_difference_lsb: int
    tolerance_lsb: int

    @property
    def passed(self) -> bool:
        """True when no raw output differs by more than the tolerance."""
        return self.largest_difference_lsb <= self.tolerance_lsb


def run_golden(bundle: Bundle, runtime: RuntimeKind) -> GoldenResult:
    """Run the golden inputs and compare raw outputs, in least significant bits.

    Raises BundleError if the golden itself is invalid.
    """
    golden = _load_golden(bundle)
    model = bundle.open(runtime=runtime)
    largest = 0
    for i, tensor in enumerate(golden["input"]):
        outputs = model.invoke(tensor[np.newaxis])
        for name, contract in bundle.contract.outputs.items():
            actual = outputs[contract.index].astype(np.int16)
            expected = golden[name][i].reshape(actual.shape).astype(np.int16)
            largest = max(largest, int(np.abs(actual - expected).max()))
    return GoldenResult(model.runtime, largest, int(golden["tolerance_lsb"]))


def _load_golden(bundle: Bundle) -> dict[str, NDArray[Any]]:
    path = bundle.folder / "golden.npz"
    try:
        # Opened here, because numpy leaves the file open if it is not an archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            golden = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: {error}") from error
    wanted = {"input", "tolerance_lsb", *bundle.contract.outputs}
    if missing := wanted - golden.keys():
        raise BundleError(f"{path}: missing {', '.join(sorted(missing))}")
    count = len(golden["input"])
    if count < MIN_GOLDEN or golden["input"].shape[1:] != tuple(bundle.contract.input.shape)[1:]:
        raise BundleError(f"{path}: input has shape {golden['input'].shape}")
    for name in bundle.contract.outputs:
        if len(golden[name]) != count:
            raise BundleError(f"{path}: {name} has {len(golden[name])} outputs for {count} inputs")
    return golden


def load_active(models: Path) -> tuple[Bundle, Bundle]:
    """The detector and OCR bundles that ``active.toml`` in the models folder names.

    Raises BundleError when the file or a bundle is wrong.
    """
    path = models / "active.toml"
    try:
        active = parse_toml(read_written(path))
        names = {kind: str(active[kind]) for kind in ("detector", "ocr")}
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}; check the models folder") from error
    except (WrittenFileError, KeyError) as error:
        raise BundleError(f"{path}: must name a detector and an ocr bundle: {error}") from error
    return (
        load_bundle(models / "detector" / names["detector"], kind="detector"),
        load_bundle(models / "ocr" / names["ocr"], kind="ocr"),
    )
