"""Gated units, fusions and blocks in plain NumPy: loops, one row at a time."""

import math

import numpy as np

from tests.oracles import ACTIVATIONS, dense, dense_expert, softmax

ACTIVATIONS_2 = {
    **ACTIVATIONS,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}


def feed_forward(row, layers, activation, last=None, gated=False):
    """`dense_expert`, with more activations, and gated units."""
    if not gated and activation in ACTIVATIONS:
        return dense_expert(row, layers, activation, last)
    first, *rest = layers
    values = dense(row, *first)
    act = ACTIVATIONS_2[activation]
    if gated:
        half = len(values) // 2
        values = np.asarray(
            [act(values[i]) * values[half + i] for i in range(half)]
        )
    else:
        values = act(values)
    for layer in rest:
        values = dense(values, *layer)
    return ACTIVATIONS_2[last](values)


def finite_gates(outputs, gates):
    """Gates `(E,)` of one row without its broken experts, sum kept."""
    kept = [bool(np.all(np.isfinite(output))) for output in outputs]
    rest = sum(g for g, keep in zip(gates, kept, strict=True) if keep)
    if rest == 0:
        return np.zeros(len(gates))
    whole = sum(gates)
    return np.asarray(
        [
            g * whole / rest if keep else 0.0
            for g, keep in zip(gates, kept, strict=True)
        ]
    )


def weighted(outputs, gates):
    total = np.zeros(outputs[0].shape)
    for output, gate in zip(outputs, gates, strict=True):
        if gate != 0:
            total += gate * output
    return total


def by_last_axis(function, array):
    return np.apply_along_axis(function, -1, array)


def linear_pool(logits, gates):
    """One row: logits `(E, ..., U)`, gates `(E,)`."""
    if not np.any(gates):
        return np.full(logits[0].shape, -np.log(logits.shape[-1]))
    total = np.zeros(logits[0].shape)
    for row, gate in zip(logits, gates, strict=True):
        if gate != 0:
            total += gate * by_last_axis(softmax, row.astype("float64"))
    return np.log(total)


def log_pool(logits, gates):
    return np.log(by_last_axis(softmax, weighted(logits, gates)))


def attention(outputs, gates, key_kernel, query_kernel=None, query=None):
    """One row of AttentionFusion: outputs `(E, ..., U)`, gates `(E,)`."""
    if not np.any(gates):
        return np.zeros(outputs[0].shape)
    heard = [e for e in range(len(gates)) if gates[e] != 0]
    vectors = {
        e: outputs[e].reshape(-1, outputs.shape[-1]).mean(axis=0) for e in heard
    }
    whole = sum(gates)
    if query is None:
        mean = sum(gates[e] / whole * vectors[e] for e in heard)
        query = mean @ query_kernel
    powers = {
        e: gates[e]
        * np.exp(query @ (vectors[e] @ key_kernel) / np.sqrt(len(query)))
        for e in heard
    }
    total = sum(powers.values())
    return sum(whole * powers[e] / total * outputs[e] for e in heard)


def layer_norm(row, gamma, beta, epsilon):
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return (row - mean) / np.sqrt(variance + epsilon) * gamma + beta


def self_attention(sequence, query, key, value, output, seen):
    """One sequence `(T, D)`; `seen[t]` are the positions that t attends to.

    Each of query, key and value is a kernel `(D, heads, width)` and a bias;
    output is a kernel `(heads, width, D)` and a bias.
    """

    def project(kernel, bias):
        return np.einsum("td,dhk->thk", sequence, kernel) + bias

    queries, keys, values = project(*query), project(*key), project(*value)
    kernel, bias = output
    results = np.zeros((len(sequence), kernel.shape[-1])) + bias
    for t in range(len(sequence)):
        for head in range(kernel.shape[0]):
            scores = [
                queries[t, head] @ keys[s, head] / np.sqrt(kernel.shape[1])
                for s in seen[t]
            ]
            weights = softmax(np.asarray(scores))
            mean = sum(
                weight * values[s, head]
                for weight, s in zip(weights, seen[t], strict=True)
            )
            results[t] += mean @ kernel[head]
    return results


def soft_moe(tokens, kernel, scale, experts, slots_per_expert):
    """One sample without padding, `(T, D)`; also the combine weights."""
    slots = kernel.shape[1]
    logits = np.zeros((len(tokens), slots))
    for t, token in enumerate(tokens):
        for s in range(slots):
            lengths = np.linalg.norm(token) * np.linalg.norm(kernel[:, s])
            logits[t, s] = scale * (token @ kernel[:, s]) / lengths
    outputs = []
    for s in range(slots):
        weights = softmax(logits[:, s])
        mean = sum(w * token for w, token in zip(weights, tokens, strict=True))
        outputs.append(experts[s // slots_per_expert](mean))
    combine = [softmax(row) for row in logits]
    mixed = [
        sum(w * y for w, y in zip(row, outputs, strict=True)) for row in combine
    ]
    return np.stack(mixed), np.stack(combine)
