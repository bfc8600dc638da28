"""Run a model on stored images with tflite-runtime: `python runtime_texts.py model.tflite in.npy out.npy`.

Needs numpy and tflite-runtime only, so that it runs in another environment than the recipe.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main(model: str, source: str, target: str) -> None:
    """Write the raw symbol outputs int8 [n, 32, 37] of uint8 images [n, 64, 128, 3]."""
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    (symbols,) = (d["index"] for d in interpreter.get_output_details() if len(d["shape"]) == 3)
    outputs = []
    for image in np.load(source):
        interpreter.set_tensor(entry, np.bitwise_xor(image[np.newaxis], 0x80).view(np.int8))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(symbols)[0])
    np.save(Path(target), np.stack(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
