"""The gates and their losses in plain NumPy: loops, one row at a time.

An expert that is out of service is not masked here: it is taken out of the row
before anything is computed, as in a layer that was built without it.
"""

import math

import numpy as np

from tests.oracles import best, entropy, softmax


def scores_of(row, activation):
    if activation == "softmax":
        return softmax(row)
    return np.asarray([1 / (1 + math.exp(-logit)) for logit in row])


def shares_of(row, activation="softmax"):
    scores = scores_of(row, activation)
    return scores / sum(scores)


def gates_of_row(
    row,
    top_k=None,
    normalize=True,
    activation="softmax",
    order="softmax_top_k",
    top_p=None,
    bias=None,
):
    """Gates of one row of logits."""
    row = np.asarray(row, "float64")
    k = len(row) if top_k is None else min(top_k, len(row))
    scores = scores_of(row, activation)
    wanted = scores if bias is None else scores + bias
    ranking = [int(e) for e in best(wanted, len(row))]
    chosen = ranking[:k]
    if top_p is not None:
        chosen, reached = [], 0.0
        for e in ranking[:k]:
            if chosen and reached >= top_p:
                break
            chosen.append(e)
            reached += shares_of(row, activation)[e]
    values = [scores[e] for e in chosen]
    if order == "top_k_softmax":
        values = softmax(row[chosen])
    if normalize and len(chosen) > 1:
        values = [value / sum(values) for value in values]
    gates = np.zeros(len(row))
    for e, value in zip(chosen, values, strict=True):
        gates[e] = value
    return gates


def gates(logits, in_service=None, bias=None, **kwargs):
    """Gates `(N, E)`; `in_service` is `(E,)` or `(N, E)`."""
    logits = np.asarray(logits, "float64")
    results = np.zeros(logits.shape)
    for n, row in enumerate(logits):
        kept = staff(in_service, n, len(row))
        part = None if bias is None else np.asarray(bias)[kept]
        results[n, kept] = gates_of_row(row[kept], bias=part, **kwargs)
    return results


def staff(in_service, n, num_experts):
    """The numbers of the experts that serve row n."""
    if in_service is None:
        return list(range(num_experts))
    marks = np.asarray(in_service)
    marks = marks if marks.ndim == 1 else marks[n]
    return [e for e in range(num_experts) if marks[e]]


def cosine_logits(row, kernel, embeddings, log_scale):
    projected = row @ kernel
    logits = []
    for e in range(embeddings.shape[1]):
        vector = embeddings[:, e]
        lengths = np.linalg.norm(projected) * np.linalg.norm(vector)
        scale = min(math.exp(log_scale), 100.0)
        logits.append(projected @ vector / lengths * scale)
    return np.asarray(logits)


def attention_logits(row, kernel, keys):
    query = row @ kernel
    return np.asarray(
        [query @ keys[:, e] / math.sqrt(len(query)) for e in range(len(keys.T))]
    )


def square_variation(values):
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values) / mean**2


def top_k_probability(logits, noisy, scale, k):
    """P(expert e is among the k best | the others' noise), one by one."""
    odds = np.zeros(logits.shape)
    for n, e in np.ndindex(logits.shape):
        others = sorted(np.delete(noisy[n], e), reverse=True)
        z = (logits[n, e] - others[k - 1]) / scale[n, e]
        odds[n, e] = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    return odds


def load_loss(odds, real=None):
    rows = [row for n, row in enumerate(odds) if real is None or real[n]]
    return square_variation(sum(rows))


def entropy_loss(shares, real=None):
    rows = [row for n, row in enumerate(shares) if real is None or real[n]]
    return sum(entropy(row) for row in rows) / len(rows)


def switch_balance(shares, chosen, real=None):
    """E sum_e f_e P_e, from shares and choices."""
    num_rows, num_experts = shares.shape
    rows = [n for n in range(num_rows) if real is None or real[n]]
    total = sum(chosen[n].sum() for n in rows)
    loss = 0.0
    for e in range(num_experts):
        part = sum(bool(chosen[n, e]) for n in rows) / total
        loss += part * sum(shares[n, e] for n in rows) / len(rows)
    return num_experts * loss


def load_step(chosen, real=None):
    rows = [row for n, row in enumerate(chosen) if real is None or real[n]]
    load = np.sum(rows, axis=0)
    return np.sign(np.mean(load) - load)


def expert_choice(logits, capacity_factor, real=None, in_service=None):
    """Every expert goes through the rows, best first, and takes k."""
    num_rows, num_experts = logits.shape
    rows = [n for n in range(num_rows) if real is None or real[n]]
    shares, working = np.zeros(logits.shape), set()
    for n in rows:
        kept = staff(in_service, n, num_experts)
        shares[n, kept] = softmax(logits[n, kept])
        working |= set(kept)
    results = np.zeros(logits.shape)
    if not rows:
        return results
    k = math.ceil(round(len(rows) * capacity_factor / len(working), 9))
    for e in working:
        eligible = [n for n in rows if e in staff(in_service, n, num_experts)]
        eligible.sort(key=lambda n: (-shares[n, e], n))
        for n in eligible[:k]:
            results[n, e] = shares[n, e]
    return results


def hierarchical(outer, inner, top_groups=None, top_k=None, in_service=None):
    """Gates `(N, G * S)` of logits `(N, G)` and `(N, G, S)`."""
    num_rows, groups, size = inner.shape
    results = np.zeros((num_rows, groups * size))
    for n in range(num_rows):
        kept = staff(in_service, n, groups * size)
        present = sorted({e // size for e in kept})
        of_groups = gates_of_row(outer[n][present], top_groups)
        for g, weight in zip(present, of_groups, strict=True):
            members = [e for e in kept if e // size == g]
            row = inner[n, g][[e % size for e in members]]
            results[n, members] = weight * gates_of_row(row, top_k)
    return results


def hash_expert(number, num_experts, factor, shift, prime=32717):
    """The hash in integers that never overflow."""
    number = (number + 2**31) % 2**32 - 2**31
    low, high = number % 2**16, number // 2**16 + 2**15
    state = (low % prime) * factor + shift + high * 31 + 1
    return (pow(state % prime, 3, prime) * num_experts) // prime
