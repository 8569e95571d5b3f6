"""Texts as loops over words: n-grams, their buckets, and naive Bayes."""

import numpy as np

from moe_keras.ops.ngrams import FACTORS, PRIMES, SHIFTS


def ngrams_of(text, max_order):
    """All n-grams without padding in them, as tuples, with repeats."""
    text = [int(word) for word in text]
    return [
        tuple(text[start : start + order])
        for order in range(1, max_order + 1)
        for start in range(len(text) - order + 1)
        if all(text[start : start + order])
    ]


def bucket_of(ngram, buckets):
    """The hash, in integers without bounds."""
    first, second = (
        _state(ngram, prime, factor, shifts)
        for prime, factor, shifts in zip(PRIMES, FACTORS, SHIFTS, strict=True)
    )
    return 1 + (first * PRIMES[1] + second) % (buckets - 1)


def _state(ngram, prime, factor, shifts):
    state = 0
    for word, shift in zip(ngram, shifts, strict=False):
        state = (state * factor + word + shift) ** 3 % prime
    return state


def bag_of(text, max_order, buckets):
    """The set of a text's buckets."""
    return {bucket_of(ngram, buckets) for ngram in ngrams_of(text, max_order)}


def ngram_logits(text, max_order, scale, table, bias):
    """Of one expert, whose table `(buckets, ...)` holds (w0 + w) r."""
    score = np.array(bias, "float64")
    for bucket in bag_of(text, max_order, len(table)):
        score = score + table[bucket] / scale
    return np.array([-score / 2, score / 2]) if score.ndim == 0 else score


def log_ratio(bucket, bags, labels, label, alpha):
    """log((p / |p|) / (q / |q|)) of one bucket, a class against the rest."""
    seen = set().union(*bags)

    def presence(one, inside):
        return alpha + sum(
            one in bag
            for bag, other in zip(bags, labels, strict=True)
            if (other == label) == inside
        )

    def share(inside):
        return presence(bucket, inside) / sum(presence(b, inside) for b in seen)

    return np.log(share(True) / share(False)) if bucket in seen else 0.0


def text_features(text, table, max_order):
    """One row of `TextFeatures`, whose table is `(buckets, embedding_dim)`."""
    words = [int(word) for word in text if word]
    vectors = [
        table[bucket_of(ngram, len(table))]
        for ngram in ngrams_of(text, max_order)
    ]
    if not words:
        return np.zeros(3 + table.shape[1])
    statistics = [
        np.log2(1 + len(words)) / 10,
        words.count(1) / len(words),
        len(set(words)) / len(words),
    ]
    return np.concatenate([statistics, np.mean(vectors, axis=0)])
