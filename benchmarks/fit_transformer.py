"""Step time of `fit` with sparse feed-forward blocks, over dense ones.

Two four-block Transformers of equal active size: one whose feed-forward parts
are mixtures of E experts, k of them per position, and one whose feed-forward
parts are k times as wide as one expert. Both are trained through plain `fit`,
a few steps of each in turn.

    python benchmarks/fit_transformer.py
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from moe_keras.layers import MoETransformerBlock

BLOCKS = 4
CLASSES = 10


def dense_block(x, heads: int, width: int, hidden: int):
    """The same block with one dense feed-forward part."""
    y = keras.layers.LayerNormalization()(x)
    attention = keras.layers.MultiHeadAttention(heads, width // heads)
    x = x + attention(y, y)
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.Dense(hidden, activation="gelu")(y)
    return x + keras.layers.Dense(width)(y)


def build(arguments: argparse.Namespace, sparse: bool) -> keras.Model:
    """A compiled classifier of sequences."""
    width, heads = arguments.width, arguments.heads
    inputs = keras.Input((arguments.length, width))
    x = inputs
    for _ in range(BLOCKS):
        if sparse:
            x = MoETransformerBlock(
                heads,
                width // heads,
                arguments.experts,
                arguments.hidden,
                top_k=arguments.top_k,
            )(x)
        else:
            hidden = arguments.hidden * arguments.top_k
            x = dense_block(x, heads, width, hidden)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--experts", type=int, default=32)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    rows = arguments.batch * arguments.steps
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, arguments.length, arguments.width))
    x, y = x.astype("float32"), generator.integers(0, CLASSES, rows)
    models = {
        name: build(arguments, name == "sparse") for name in ("sparse", "dense")
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(arguments.repeats + 1):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(x, y, batch_size=arguments.batch, verbose=0)
            if repeat:
                times[name].append(time.perf_counter() - start)
    ratios = [
        sparse / dense
        for sparse, dense in zip(times["sparse"], times["dense"], strict=True)
    ]
    steps = arguments.steps
    result = {
        **vars(arguments),
        "sparse_ms_per_step": 1e3 * statistics.median(times["sparse"]) / steps,
        "dense_ms_per_step": 1e3 * statistics.median(times["dense"]) / steps,
        "sparse_over_dense": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
        "cores": os.cpu_count(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
