"""Texts as loops over words: n-grams, their keys, and naive Bayes."""

from collections import Counter

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


def key_of(ngram):
    """The hash, in integers without bounds."""
    first, second = (
        _state(ngram, prime, factor, shifts)
        for prime, factor, shifts in zip(PRIMES, FACTORS, SHIFTS, strict=True)
    )
    return 1 + first * PRIMES[1] + second


def bucket_of(ngram, buckets):
    """The key folded onto the buckets 1 to buckets - 1."""
    return 1 + (key_of(ngram) - 1) % (buckets - 1)


def _state(ngram, prime, factor, shifts):
    state = 0
    for word, shift in zip(ngram, shifts, strict=False):
        state = (state * factor + word + shift) ** 3 % prime
    return state


def words_in(text, span):
    """The places of a text that are read, up to its last word."""
    text = [int(word) for word in text]
    while text and text[-1] == 0:
        text.pop()
    if span is None:
        return text
    return text[:span] if span > 0 else text[span:]


def bag_of(text, max_order, span=None):
    """The set of the keys of a text's n-grams."""
    return {
        key_of(ngram) for ngram in ngrams_of(words_in(text, span), max_order)
    }


def ngram_logits(bag, rows, bias):
    """Of one expert.

    Args:
        bag: set of keys.
        rows: dict from each known key to its (w0 + w) r, `()` or `(C,)`.
        bias: the same shape.
    """
    known = [rows[key] for key in bag if key in rows]
    score = np.array(bias, "float64")
    if known:
        score = score + np.sum(known, axis=0) / np.sqrt(len(known))
    return np.array([-score / 2, score / 2]) if score.ndim == 0 else score


def document_counts(bags):
    """In how many bags each key is."""
    counts = {}
    for bag in bags:
        for key in bag:
            counts[key] = counts.get(key, 0) + 1
    return counts


def log_ratios(bags, labels, label, alpha, known):
    """log((p / |p|) / (q / |q|)) of known keys, a class against the rest."""
    labels = list(labels)
    inside = document_counts(
        bag for bag, other in zip(bags, labels, strict=True) if other == label
    )
    outside = document_counts(
        bag for bag, other in zip(bags, labels, strict=True) if other != label
    )

    def share(counts, key):
        total = sum(alpha + counts.get(one, 0) for one in known)
        return (alpha + counts.get(key, 0)) / total

    return {
        key: np.log(share(inside, key) / share(outside, key)) for key in known
    }


def bucket_ratios(texts, labels, max_order, buckets, num_classes):
    """Log-count ratios of naive Bayes, each class against the others."""
    present = [
        {bucket_of(ngram, buckets) for ngram in ngrams_of(text, max_order)}
        for text in texts
    ]
    known = sorted(set().union(*present))
    found = {}
    for label in range(num_classes):
        inside, outside = Counter(), Counter()
        for places, own in zip(present, labels, strict=True):
            (inside if own == label else outside).update(places)
        mine = {place: 1 + inside[place] for place in known}
        others = {place: 1 + outside[place] for place in known}
        for place in known:
            found[place, label] = np.log(
                mine[place] / sum(mine.values())
            ) - np.log(others[place] / sum(others.values()))
    return found


def sureness(text, ratios, max_order, buckets, num_classes):
    """The largest mean of a class less the second; of two, one mean's size."""
    places = [bucket_of(ngram, buckets) for ngram in ngrams_of(text, max_order)]
    if not places:
        return 0.0
    means = [
        np.mean([ratios.get((place, label), 0.0) for place in places])
        for label in range(num_classes)
    ]
    if num_classes == 2:
        return abs(means[1])
    second, first = sorted(means)[-2:]
    return first - second


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
