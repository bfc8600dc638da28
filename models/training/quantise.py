"""Float TFLite -> full int8, by post-training quantisation with the AI Edge quantizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_int8(float_model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Full int8 by true minimum and maximum over `images` (uint8 [n, height, width, 3]), black and white added.

    The quantizer's default, a moving average of the ranges, clips activations and costs points of accuracy.
    """
    quantise = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = calibrator.Calibrator(float_model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    runner = Interpreter(model_content=float_model)
    (signature,) = runner.get_signature_list()
    (argument,) = runner.get_signature_list()[signature]["inputs"]
    shape = (1, *images.shape[1:])
    extremes = [np.zeros(shape, np.float32), np.ones(shape, np.float32)]
    units = (image[np.newaxis].astype(np.float32) / 255 for image in images)
    ranges.calibrate({signature: [{argument: sample} for sample in (*extremes, *units)]}, rules)
    return bytes(quantise.quantize(ranges.get_model_qsvs(), enable_progress_report=False).quantized_model)
