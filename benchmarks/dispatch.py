"""How close sorted dispatch comes to the matrix multiply it stands for.

The limit is one dense network of the same active multiply-adds: N*K rows
through one D -> hidden -> D block. All three are timed in turn in the same run,
so that a machine that speeds up or slows down does so for all of them; the
figures are medians of the ratios of neighbouring runs.

    python benchmarks/dispatch.py
    python benchmarks/dispatch.py --rows 4096 --experts 8 --top-k 2 --backward
"""

import argparse
import json
import os
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts


def build(rows: int, experts: int, top_k: int, width: int, hidden: int) -> dict:
    """The contestants, as traced functions without arguments."""
    x = tf.random.normal((rows, width))
    limit_x = tf.random.normal((rows * top_k, width))

    def mixture(dispatch: str) -> keras.Layer:
        layer = MixtureOfExperts(
            DenseExpert(width, experts, hidden_units=hidden),
            GatingLayer(experts, top_k=top_k),
            dispatch=dispatch,
        )
        layer.build(x.shape)
        return layer

    sorted_layer, dense_layer = mixture("sorted"), mixture("dense")
    dense_layer.set_weights(sorted_layer.get_weights())
    limit = keras.Sequential(
        [
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(width),
        ]
    )
    limit.build(limit_x.shape)
    difference = np.abs(sorted_layer(x) - dense_layer(x)).max()
    return {
        "difference": float(difference),
        "sorted": (sorted_layer, x),
        "dense": (dense_layer, x),
        "limit": (limit, limit_x),
    }


def runner(layer: keras.Layer, x: tf.Tensor, backward: bool):
    """A traced pass, forward or forward and backward, waited for."""
    weights = layer.trainable_weights

    @tf.function
    def forward():
        return layer(x, training=False)

    @tf.function
    def forward_backward():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x, training=False)))
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        return [
            tf.reduce_sum(tf.abs(tf.convert_to_tensor(g)[..., :1]))
            for g in gradients
        ]

    step = forward_backward if backward else forward

    def run() -> float:
        start = time.perf_counter()
        tf.nest.map_structure(lambda t: t.numpy(), step())
        return time.perf_counter() - start

    return run


def measure(contestants: dict, backward: bool, repeats: int) -> dict:
    """Median milliseconds and ratios to the limit, run in turn."""
    names = ("limit", "sorted", "dense")
    runs = {name: runner(*contestants[name], backward) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 2):
        for name in names:
            elapsed = runs[name]()
            if repeat >= 2:
                times[name].append(elapsed)
    ratio = lambda a, b: statistics.median(  # noqa: E731
        x / y for x, y in zip(times[a], times[b], strict=True)
    )
    return {
        **{
            f"{name}_ms": round(1e3 * statistics.median(times[name]), 2)
            for name in names
        },
        "sorted_over_limit": round(ratio("sorted", "limit"), 3),
        "sorted_over_dense": round(ratio("sorted", "dense"), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--experts", type=int, default=32)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--backward", action="store_true", help="time the gradients too"
    )
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    contestants = build(
        arguments.rows,
        arguments.experts,
        arguments.top_k,
        arguments.width,
        arguments.hidden,
    )
    result = {
        **vars(arguments),
        **measure(contestants, arguments.backward, arguments.repeats),
        "largest_difference": contestants["difference"],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
