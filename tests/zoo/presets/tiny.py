"""A tiny preset, and a zoo of it."""

import hashlib
import json

from moe_keras.zoo import build_image_moe, save_preset
from tests.tools import draw

METADATA = {
    "task": "image",
    "classes": ["bag", "coat", "dress"],
    "preprocessing": "white on black, any range of values",
    "data": {"name": "toy", "licence": "CC0-1.0"},
    "licence": "Apache-2.0",
    "scores": {"accuracy": {"mean": 0.91, "sd": 0.01, "seeds": 3}},
}
ARGUMENTS = {
    "input_shape": [8, 8, 1],
    "num_classes": 3,
    "variant": "conv",
    "widths": [4],
    "blocks": [1],
    "sparse_stages": 1,
    "experts": 3,
    "top_k": 2,
}
BUILDER = {"name": "image", "arguments": ARGUMENTS}


def tiny_model(**arguments):
    """A model whose predictions differ from image to image."""
    model = build_image_moe(**{**ARGUMENTS, **arguments})
    kernel = model.get_layer("logits").kernel
    kernel.assign(5 * draw(*kernel.shape))
    return model


def save_tiny(folder, **metadata):
    model = tiny_model()
    values = {**METADATA, "builder": BUILDER, **metadata}
    return model, save_preset(model, folder, values)


def forge(folder, file, content):
    """Change a file and give it a matching checksum, as an attacker would."""
    (folder / file).write_bytes(content)
    path = folder / "preset.json"
    values = json.loads(path.read_text())
    values["files"][file] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "num_bytes": len(content),
    }
    path.write_text(json.dumps(values))
