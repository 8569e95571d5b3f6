"""Linear, cross and low-rank experts as functions of one row, in loops."""

import numpy as np

from tests import oracles
from tests.tools import weights_by_name


def linear_functions(layer):
    weights = weights_by_name(layer)
    kernels, biases = weights["kernel"].astype("float64"), weights["bias"]
    for f, sign in enumerate(layer.signs or []):
        if sign:
            sizes = np.logaddexp(0, 10 * kernels[:, f]) / 10
            kernels[:, f] = sign * sizes

    def function(e):
        def run(row):
            scores = oracles.dense(row, kernels[e], biases[e])
            if layer.output_units != 2:
                return scores
            return np.asarray([-scores[0] / 2, scores[0] / 2])

        return run

    return [function(e) for e in range(layer.num_experts)]


def cross_functions(layer):
    weights = weights_by_name(layer)

    def function(e):
        def run(row):
            values = np.asarray(row, "float64")
            for number in range(layer.num_layers):
                mapped, bias = values, weights[f"bias_{number}"][e]
                names = [f"kernel_{number}"]
                if layer.rank is not None:
                    names = [f"kernel_{number}_{part}" for part in (0, 1)]
                for name in names:
                    mapped = oracles.dense(mapped, weights[name][e])
                values = [
                    row[f] * (mapped[f] + bias[f]) + values[f]
                    for f in range(len(row))
                ]
            head = weights["output_kernel"][e], weights["output_bias"][e]
            outputs = oracles.dense(values, *head)
            last = layer.get_config()["output_activation"]
            return oracles.ACTIVATIONS[last](outputs)

        return run

    return [function(e) for e in range(layer.num_experts)]


def low_rank_functions(layer):
    weights = weights_by_name(layer)
    config = layer.get_config()

    def function(e):
        layers = []
        for depth in range(len(layer.hidden_units)):
            inner, outer, bias = (
                weights[f"{name}_{depth}"][e]
                for name in ("inner", "outer", "bias")
            )
            # As a kernel of its own: W times an outer product.
            kernel = weights[f"kernel_{depth}"] * np.outer(inner, outer)
            layers.append((kernel, bias))
        head = weights["output_kernel"][e], weights["output_bias"][e]

        def run(row):
            for kernel, bias in layers:
                row = oracles.dense(row, kernel, bias)
                row = oracles.ACTIVATIONS[config["activation"]](row)
            outputs = oracles.dense(row, *head)
            return oracles.ACTIVATIONS[config["output_activation"]](outputs)

        return run

    return [function(e) for e in range(layer.num_experts)]
