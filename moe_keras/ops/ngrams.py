"""Word n-grams as numbers, the same ones on every backend.

Two states run along the words, modulo two primes whose squares are below 2^31,
so that all arithmetic is int32 and nothing depends on how a backend wraps.
Together they make a key of 31 bits, which is looked up in a sorted table of
known keys, or folded onto buckets by a remainder. With d_n and a fixed for each
prime p:

    s_1 = (x_1 + d_1)^3,  s_n = (a s_{n-1} + x_n + d_n)^3  (mod p)

The cube is a permutation of the residues, as p is 2 modulo 3: n-grams that
differ in their last word alone differ in both states. And it is not linear, so
that neighbouring identifiers do not give neighbouring buckets.

Of n n-grams, one shares its key with another at a chance of n / 2^31: 0.2 % of
4.6 million, which are those of 25,000 film reviews up to order 3.
"""

from typing import Any

from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.ops.hashing import remainder
from moe_keras.ops.scaling import widen

# The two largest primes below sqrt(2^31) that are 2 modulo 3.
PRIMES = (46337, 46307)
# Of the 2^31 pairs of states, at least 127 fall into each bucket: even enough.
MOST_BUCKETS = 2**24
MOST_ORDER = 5
# Fills a table behind its last key. The keys stay below: they end at the
# product of the primes.
FREE = 2**31 - 1
# For each prime: the factor, and a shift for each order; no number is special.
FACTORS = (31415, 27950)
SHIFTS = ((9265, 35897, 9323, 8462, 6433), (8327, 28841, 9716, 9399, 37510))


def check_ngrams(owner: str, buckets: Any, max_order: Any) -> None:
    """Refuse sizes that `ngram_buckets` cannot work with.

    Args:
        owner: the layer that was made.
        buckets: int in 2..MOST_BUCKETS.
        max_order: int in 1..MOST_ORDER.
    """
    require(
        is_count(buckets) and 2 <= buckets <= MOST_BUCKETS,
        owner,
        f"`buckets` must be an integer in 2..{MOST_BUCKETS}.",
        buckets=buckets,
    )
    check_order(owner, max_order)


def check_order(owner: str, max_order: Any) -> None:
    """Refuse n-grams that `ngram_keys` cannot number.

    Args:
        owner: the layer that was made.
        max_order: int in 1..MOST_ORDER.
    """
    require(
        is_count(max_order) and max_order <= MOST_ORDER,
        owner,
        f"`max_order` must be an integer in 1..{MOST_ORDER}.",
        max_order=max_order,
    )


def ngram_keys(ids: Any, max_order: int) -> Any:
    """The key of each n-gram of a text, 0 where there is none.

    Args:
        ids: int `(N, T)`, numbers of words; 0 for padding. Of a wider type,
            the lowest 32 bits count.
        max_order: int in 1..MOST_ORDER; the longest n-grams.

    Returns:
        int32 `(N, max_order * T)`, 0 or in 1..FREE-1: for the orders 1, 2, ...
        in turn, the n-grams that begin at each position. An n-gram that holds
        padding, or would reach over the end, is 0, which no other one is.
    """
    steps = ids.shape[1] or ops.shape(ids)[1]
    ids = ops.pad(ops.cast(ids, "int32"), ((0, 0), (0, max_order - 1)))
    words = [ids[:, n : n + steps] for n in range(max_order)]
    left = [remainder(ids, prime) for prime in PRIMES]
    whole, states, found = words[0] != 0, [0, 0], []
    for n, word in enumerate(words):
        whole = ops.logical_and(whole, word != 0)
        states = [
            _step(states[lane], left[lane][:, n : n + steps], lane, n)
            for lane in range(2)
        ]
        key = 1 + states[0] * PRIMES[1] + states[1]
        found.append(ops.where(whole, key, ops.zeros_like(key)))
    return ops.concatenate(found, axis=1)


def _step(state: Any, left: Any, lane: int, n: int) -> Any:
    """The state behind a word, of which this is left, at place n."""
    prime = PRIMES[lane]
    state = state * FACTORS[lane] + left + SHIFTS[lane][n]
    state = ops.mod(state, prime)
    return ops.mod(ops.mod(state * state, prime) * state, prime)


def ngram_buckets(ids: Any, max_order: int, buckets: int) -> Any:
    """The keys folded onto buckets, which n-grams then share.

    Args:
        ids: int `(N, T)`, as in `ngram_keys`.
        max_order: int in 1..MOST_ORDER.
        buckets: int in 2..MOST_BUCKETS.

    Returns:
        int32 `(N, max_order * T)` in 0..buckets-1, 0 for no n-gram.
    """
    keys = ngram_keys(ids, max_order)
    folded = 1 + ops.mod(ops.maximum(keys, 1) - 1, buckets - 1)
    return ops.where(keys == 0, ops.zeros_like(keys), folded)


def find_keys(table: Any, keys: Any) -> Any:
    """The place of each key in a table, 0 where it is not there.

    The search is fastest where neighbouring keys are near each other, as those
    of `distinct` are.

    Args:
        table: int32 `(P,)`, ascending from 0; unused places, which are at the
            end, hold FREE.
        keys: int32 `(N, Q)` in 0..FREE-1.

    Returns:
        int32 `(N, Q)` in 0..P-1.
    """
    # TensorFlow searches one row of keys per row of tables only.
    flat = ops.reshape(keys, (-1,))
    places = ops.cast(ops.searchsorted(table, flat), "int32")
    places = ops.minimum(places, table.shape[0] - 1)
    found = ops.take(table, places, axis=0) == flat
    places = ops.where(found, places, ops.zeros_like(places))
    return ops.reshape(places, ops.shape(keys))


def cut_span(ids: Any, span: int | None) -> Any:
    """The first or the last words of texts.

    Args:
        ids: int `(N, T)`, numbers of words; 0 for padding. A text ends behind
            its last word; zeros before that take up places.
        span: int or None. n > 0 for the first n places, n < 0 for the last -n,
            None for all of them.

    Returns:
        int `(N, S)`, with S at most T where T is known: the words, then zeros.
    """
    if span is None:
        return ids
    if span > 0:
        return ids[:, :span]
    steps = ids.shape[1]
    width = -span if steps is None else min(-span, steps)
    # Zeros behind, so that texts shorter than the span have words to take.
    ids = ops.pad(ids, ((0, 0), (0, width)))
    places = ops.arange(ops.shape(ids)[1], dtype="int32")
    ends = ops.where(ids != 0, places + 1, 0)
    # A row and a column more, as there is no maximum of nothing.
    ends = ops.max(ops.pad(ends, ((0, 1), (1, 0))), axis=1, keepdims=True)
    first = ends[:-1] - width
    taken = ops.maximum(first, 0) + ops.arange(width, dtype="int32")
    return ops.take_along_axis(ids, taken, axis=1)


def distinct(numbers: Any) -> Any:
    """Each row's numbers in order, repeats turned into 0.

    Args:
        numbers: int `(N, P)`, not negative; 0 stands for nothing.
    """
    ordered = ops.sort(numbers, axis=-1)
    before = ops.pad(ordered[:, :-1], ((0, 0), (1, 0)))
    return ops.where(ordered == before, ops.zeros_like(ordered), ordered)


def take_rows(table: Any, places: Any) -> Any:
    """The rows of a table in at least float32, zeros for place 0.

    Args:
        table: float `(P, ...)`.
        places: int `(N, Q)`.

    Returns:
        float `(N, Q, ...)`.
    """
    rows = widen(ops.take(table, places, axis=0))
    found = places != 0
    for _ in range(len(rows.shape) - 2):
        found = ops.expand_dims(found, -1)
    return ops.where(found, rows, ops.zeros_like(rows))


def sum_over_root(rows: Any, places: Any) -> Any:
    """The sum of each text's rows, over the root of how many there are.

    Args:
        rows: float `(N, P, ...)`, zeros where there is none.
        places: int `(N, P)`, 0 where there is none.

    Returns:
        float `(N, ...)`; zeros for a text without a row.
    """
    sums = ops.sum(rows, axis=1)
    found = ops.sum(ops.cast(places != 0, sums.dtype), axis=1)
    found = ops.reshape(found, (-1,) + (1,) * (len(sums.shape) - 1))
    return sums / ops.sqrt(ops.maximum(found, 1.0))


def ngram_count(length: int, max_order: int) -> int:
    """How many n-grams a text of so many words has, at most.

    Args:
        length: int >= 0.
        max_order: int > 0.
    """
    return sum(max(length - n, 0) for n in range(max_order))
