"""Crop -> plate text: CTC symbols with a probability per character, the issuing region, and the plate's corners.

A text that is not in one line, as on two-line plates and other signs, is not reported.

Decoding is best-path CTC (Graves et al. 2006): per column the likeliest class, runs collapsed, blanks dropped.
Each character keeps the distribution of the column where it peaks, for the fusion of many predictions.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.errors import BundleError
from agent.fusion.fuse import fuse_predictions
from agent.recognise.interpreter import RuntimeKind
from agent.records import UNKNOWN_REGION, Box, CharRead, PlateText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.recognise.bundle import Bundle, OutputContract

RETRY_BELOW_CONFIDENCE = 0.9
RETRY_MIN_CONFIDENCE, RETRY_MIN_CONFIDENCE_SINGLE_IMAGE = 0.2, 0.05
"""Confidence below which a text is not read again: it is mostly no plate, and other frames show the plate, too, unless
there is only one picture."""
_EXTRA_MARGINS = (-0.05, 0.05)
"""Shares of the box by which the second and third crop differ from the first, for a model without corners."""
_MAX_DIGITS = 8
"""No issuer has longer serials of digits alone: it is a telephone number."""
_MIN_SIDE_PX = 4.0
_MAX_SHRINK = 1.2
_OWN_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
_SIGN_BIT = np.uint8(0x80)
_ALTERNATIVES = 4
_MIN_ALTERNATIVE = 0.005


@dataclass(frozen=True, slots=True)
class OcrPrediction:
    """The text of one crop and the pixels it was read from."""

    plate: PlateText
    crop: NDArray[np.uint8]
    one_line: bool = True
    """False if the model detects several lines or an object that is not a plate; the text is empty then."""
    corners_px: NDArray[np.float32] | None = None
    """Corners of the plate, 4 x 2 (x, y), clockwise from top left; may be outside the picture.  None if unknown, or if
    the text is sure and other pictures show the plate, too."""


@dataclass(frozen=True, slots=True)
class _Corners:
    """The corners of a plate as the model gives them: most are never used."""

    raw: NDArray[np.int8]
    contract: OutputContract

    def shares(self) -> NDArray[np.float32]:
        """As shares of the crop's size, 4 x 2."""
        values = self.raw.astype(np.float32).reshape(4, 2) - self.contract.zero_point
        return values * np.float32(self.contract.scale) + _OWN_CORNERS


class Ocr:
    """Reads plate crops.  One per thread."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: RuntimeKind = RuntimeKind.AUTO,
    ) -> None:
        contract = bundle.contract
        if contract.ocr is None or contract.calibration is None:
            raise BundleError(f"{bundle.folder}: not an OCR bundle")
        self._model = bundle.open(runtime=runtime)
        self._ocr = contract.ocr
        self._calibration = contract.calibration
        self._symbols = contract.outputs["symbols"]
        self._region = contract.outputs.get("region")
        self._corners = contract.outputs.get("corners")
        self._one_line = contract.outputs.get("one_line")
        _, self.height_px, self.width_px, _ = contract.input.shape
        self._pixels = np.empty((self.height_px, self.width_px, 3), np.uint8)
        self._tensor = np.empty((1, *self._pixels.shape), np.int8)
        self._tensor_bytes = self._tensor[0].view(np.uint8)
        self._symbol_falls = _falls(self._symbols, contract.ocr.temperature)
        if self._one_line is not None:
            self._min_one_line = _min_raw(self._one_line, contract.ocr.single_line_threshold)
        self._region_falls = [] if self._region is None else _falls(self._region, contract.ocr.region_temperature)

    def is_worth_reporting(self, plate: PlateText) -> bool:
        """True for a single text that is confident enough and of a plate's length."""
        length_fits = self._ocr.min_chars <= len(plate.chars) <= self._ocr.max_chars
        return length_fits and plate.confidence >= self._ocr.reject_below

    @property
    def reject_below(self) -> float:
        """Calibrated confidence below which a single text is not reported."""
        return self._ocr.reject_below

    def read(self, rgb: NDArray[np.uint8], box: Box, *, single_image: bool = False) -> OcrPrediction:
        """Read the plate inside ``box`` of an RGB picture, with the margin the model was trained for.

        A text of low confidence is read again from better crops, and all predictions are fused: the box may be slightly
        off.  Most plates do not need it.  ``single_image``: no other frame shows the plate; more texts are read again.
        """
        crop, place = self._crop(rgb, box)
        plate, corners, one_line = self._predict(crop)
        retry_from = RETRY_MIN_CONFIDENCE_SINGLE_IMAGE if single_image else RETRY_MIN_CONFIDENCE
        doubtful = retry_from <= plate.confidence < RETRY_BELOW_CONFIDENCE
        corners_px = None
        if corners is not None and (doubtful or single_image):
            corners_px = _scaled(corners.shares(), place)
        if doubtful:
            if corners_px is None:
                again = self._predict_other_margins(rgb, box)
            else:
                again = self._predict_by_corners(rgb, corners_px)
            plate = fuse_predictions([p for p in (plate, *again) if p.chars] or [plate])
        return OcrPrediction(plate, crop, one_line, corners_px)

    def read_crop(self, crop: NDArray[np.uint8]) -> PlateText:
        """Read an RGB picture of one plate with its margin; the text may be empty."""
        return self.predict_crop(crop).plate

    def predict_crop(self, crop: NDArray[np.uint8]) -> OcrPrediction:
        """As :meth:`read_crop`, with whether the text is in one line."""
        plate, _, one_line = self._predict(crop)
        return OcrPrediction(plate, crop, one_line)

    def _predict_other_margins(self, rgb: NDArray[np.uint8], box: Box) -> list[PlateText]:
        """A tighter and a wider crop, for a model without corners."""
        return [self._predict(self._crop(rgb, box, extra)[0])[0] for extra in _EXTRA_MARGINS]

    def _predict_by_corners(self, rgb: NDArray[np.uint8], quad: NDArray[np.float32]) -> list[PlateText]:
        """Rectify by the corners predicted for the crop that was rectified by the first prediction's corners.

        Warping anew from what the warped picture shows, after Lin and Lucey 2017 (inverse compositional spatial
        transformers).
        """
        plate, corners, _ = self._predict(self._rectify(rgb, quad))
        if corners is None:
            return [plate]
        back = cv2.getPerspectiveTransform(self._own_corners(), quad)
        better = cv2.perspectiveTransform(corners.shares()[np.newaxis], back)[0]
        low, high = quad.min(axis=0), quad.max(axis=0)
        # Collinear corners can warp to anywhere: corners far from the first ones are not a plate's.
        if not (np.abs(better - (low + high) / 2) <= high - low).all():
            return [plate]
        return [self._predict(cut)[0] for cut in (self._rectify(rgb, better), self._crop(rgb, _bounds(better))[0])]

    def _own_corners(self) -> NDArray[np.float32]:
        """Corners of a plate in a crop with the right margins, as shares of the crop's size."""
        margins = np.array([self._ocr.crop_margin_x, self._ocr.crop_margin_y], np.float32)
        return (_OWN_CORNERS + margins) / (1 + 2 * margins)

    def _rectify(self, rgb: NDArray[np.uint8], quad: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Rectify the plate between four corners (clockwise from top left, pixels)."""
        margins = np.array([self._ocr.crop_margin_x, self._ocr.crop_margin_y])
        size_px = np.array([self.width_px, self.height_px])
        sides = np.array([np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])])
        # A plate larger than the input is warped at a larger size first: sampling single pixels would lose strokes.
        times = max(1, int(np.ceil((sides * (1 + 2 * margins) / size_px).max() / _MAX_SHRINK)))
        target = self._own_corners() * (size_px * times).astype(np.float32)
        warp = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
        canvas_px = (self.width_px * times, self.height_px * times)
        return cv2.warpPerspective(rgb, warp, canvas_px, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]

    def _predict(self, crop: NDArray[np.uint8]) -> tuple[PlateText, _Corners | None, bool]:
        """Text of a crop, the corners of the plate if the model predicts them, one line or not."""
        shrinking = crop.shape[1] > self.width_px or crop.shape[0] > self.height_px
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        cv2.resize(crop, (self.width_px, self.height_px), dst=self._pixels, interpolation=method)
        np.bitwise_xor(self._pixels, _SIGN_BIT, out=self._tensor_bytes)
        raw = self._model.invoke(self._tensor)
        one_line = self._is_one_line(raw)
        chars, product = self._decode(raw[self._symbols.index][0]) if one_line else ((), 0.0)
        if len(chars) > _MAX_DIGITS and all(char.symbol.isdigit() for char in chars):
            chars, product, one_line = (), 0.0, False
        region, region_confidence = self._decode_region(raw)
        plate = PlateText(chars, self._calibrated(product) if chars else 0.0, region, region_confidence)
        corners = None if self._corners is None else _Corners(raw[self._corners.index], self._corners)
        return plate, corners, one_line

    def _crop(self, rgb: NDArray[np.uint8], box: Box, extra: float = 0.0) -> tuple[NDArray[np.uint8], Box]:
        """The crop, and its actual place in the picture."""
        mx = box.width_px * (self._ocr.crop_margin_x + extra)
        my = box.height_px * (self._ocr.crop_margin_y + extra)
        height, width = rgb.shape[:2]
        x0 = min(max(0, round(box.x0 - mx)), width - 1)
        y0 = min(max(0, round(box.y0 - my)), height - 1)
        x1 = max(min(width, round(box.x1 + mx)), x0 + 1)
        y1 = max(min(height, round(box.y1 + my)), y0 + 1)
        return np.ascontiguousarray(rgb[y0:y1, x0:x1]), Box(float(x0), float(y0), float(x1), float(y1))

    def _decode(self, raw: NDArray[np.int8]) -> tuple[tuple[CharRead, ...], float]:
        """The characters, each from the best column of its run, and the product of their probabilities."""
        blank, falls, classes = self._ocr.blank, self._symbol_falls, raw.shape[1]
        # Bytes and lists: for so few values numpy's functions take several times as long.
        values = raw.tobytes()
        chars: list[tuple[int, float, list[float]]] = []
        before = blank
        for column, best in enumerate(raw.argmax(axis=1).tolist()):
            if best != blank:
                row = values[column * classes : (column + 1) * classes]
                top = row[best]
                weights = [falls[top - value] for value in row]
                total = sum(weights)
                if best != before:
                    chars.append((best, total, weights))
                elif total < chars[-1][1]:
                    chars[-1] = (best, total, weights)
            before = best
        return tuple([self._char(*char) for char in chars]), math.prod([1 / total for _, total, _ in chars])

    def _char(self, best: int, total: float, weights: list[float]) -> CharRead:
        """One character from the weights of a column's classes, relative to the best one."""
        low = _MIN_ALTERNATIVE * total
        if total - 1 < low:
            return CharRead(self._symbol(best), 1 / total)
        others = sorted(
            [(-weight, index) for index, weight in enumerate(weights) if weight >= low and index != best]
        )
        alternatives = [(self._symbol(index), -weight / total) for weight, index in others[:_ALTERNATIVES]]
        return CharRead(self._symbol(best), 1 / total, tuple(alternatives))

    def _symbol(self, index: int) -> str:
        return "" if index == self._ocr.blank else self._ocr.alphabet[index]

    def _is_one_line(self, raw: list[NDArray[np.int8]]) -> bool:
        return self._one_line is None or raw[self._one_line.index].item() >= self._min_one_line

    def _decode_region(self, raw: list[NDArray[np.int8]]) -> tuple[str, float]:
        if self._region is None:
            return UNKNOWN_REGION, 0.0
        logits = raw[self._region.index].tolist()[0]
        top, falls = max(logits), self._region_falls
        return self._ocr.regions[logits.index(top)], 1 / sum([falls[top - value] for value in logits])

    def _calibrated(self, product: float) -> float:
        """The probability that a text is correct, by linear interpolation."""
        raw, probability = self._calibration.raw, self._calibration.probability
        above = bisect_right(raw, product)
        if above in {0, len(raw)}:
            return probability[max(0, above - 1)]
        slope = (probability[above] - probability[above - 1]) / (raw[above] - raw[above - 1])
        return slope * (product - raw[above - 1]) + probability[above - 1]


def _min_raw(contract: OutputContract, threshold: float) -> int:
    """The smallest quantised logit whose probability reaches the threshold; above all of them if none does."""
    logits = ((raw, (raw - contract.zero_point) * contract.scale) for raw in range(-128, 128))
    return next((raw for raw, logit in logits if 1 / (1 + math.exp(-logit)) >= threshold), 128)


def _falls(contract: OutputContract, temperature: float) -> list[float]:
    """Probability of a class relative to another one, by how much smaller its quantised logit is.

    The difference of their bytes does as well: it is the same modulo 256, and a list is indexed from its end, too.
    """
    return [math.exp(-difference * contract.scale / temperature) for difference in range(256)]


def _scaled(corners: NDArray[np.float32], place: Box) -> NDArray[np.float32]:
    """Convert corners from shares of a crop to pixels of the picture in which it is at ``place``."""
    size_px = np.array([place.width_px, place.height_px], np.float32)
    return corners * size_px + np.array([place.x0, place.y0], np.float32)


def _bounds(quad: NDArray[np.float32]) -> Box:
    """The upright box of four corners: each side is at the mean of its two."""
    (left, right), (top, bottom) = quad[[0, 3, 1, 2], 0].reshape(2, 2), quad[[0, 1, 2, 3], 1].reshape(2, 2)
    x0, x1, y0, y1 = (float(pair.mean()) for pair in (left, right, top, bottom))
    return Box(x0, y0, max(x1, x0 + _MIN_SIDE_PX), max(y1, y0 + _MIN_SIDE_PX))
