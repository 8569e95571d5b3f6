"""The hash of n-grams: against integers in Python, and as even as chance."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops import ngrams
from tests import oracles_text
from tests.tools import assert_close, draw, numpy_of

pytestmark = pytest.mark.jax

TEXTS = [[5, 3, 3, 9], [7, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]


def buckets_of(ids, max_order, buckets):
    ids = ops.convert_to_tensor(np.asarray(ids, "int32"))
    return numpy_of(ngrams.ngram_buckets(ids, max_order, buckets))


def keys_of(ids, max_order):
    ids = ops.convert_to_tensor(np.asarray(ids, "int32"))
    return numpy_of(ngrams.ngram_keys(ids, max_order))


@pytest.mark.parametrize("max_order", [1, 2, 3, 5])
@pytest.mark.parametrize("buckets", [None, 2, 1000, 2**20, 2**24])
def test_numbers_are_those_of_the_integers(buckets, max_order):
    rng = np.random.default_rng(0)
    # Identifiers to the largest int32; the rows end in padding.
    texts = rng.integers(1, 2**31, (6, 7))
    texts[np.arange(7) >= np.asarray([[7], [6], [4], [3], [1], [0]])] = 0
    found = (
        buckets_of(texts, max_order, buckets)
        if buckets
        else keys_of(texts, max_order)
    )
    assert found.shape == (6, max_order * 7)
    assert found.dtype == "int32"
    for row, text in zip(found, texts, strict=True):
        for order in range(1, max_order + 1):
            for start in range(7):
                ngram = text[start : start + order].tolist()
                whole = len(ngram) == order and all(ngram)
                number = (
                    oracles_text.bucket_of(ngram, buckets)
                    if buckets
                    else oracles_text.key_of(ngram)
                )
                assert row[(order - 1) * 7 + start] == whole * number


def test_buckets_never_change():
    found = buckets_of([[1, 2, 20000]], 3, 2**20)
    words, pairs, triple = [97070, 919937, 77155], [639697, 801267], 702220
    assert found.tolist() == [[*words, *pairs, 0, triple, 0, 0]]


def test_keys_never_change():
    found = keys_of([[1, 20000]], 2)
    assert found.tolist() == [[240220745, 1611736930, 1935323445, 0]]
    assert np.prod(ngrams.PRIMES) < ngrams.FREE


def test_padding_in_the_middle_ends_an_ngram():
    found = buckets_of([[4, 0, 6]], 2, 1000)
    (one,), (other,) = (buckets_of([[word]], 1, 1000)[0] for word in (4, 6))
    assert found.tolist() == [[one, 0, other, 0, 0, 0]]


def test_no_position_at_all():
    assert buckets_of(np.zeros((3, 0)), 2, 100).shape == (3, 0)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
def test_any_integer(dtype):
    ids = ops.convert_to_tensor(np.asarray(TEXTS, dtype))
    found = numpy_of(ngrams.ngram_buckets(ids, 2, 1000))
    np.testing.assert_array_equal(found, buckets_of(TEXTS, 2, 1000))


def occupied(found, buckets):
    """How many buckets are hit, and how many chance would hit, with its SD."""
    places = buckets - 1
    load = len(found) / places
    mean = places * (1 - np.exp(-load))
    spread = np.sqrt(places * np.exp(-load) * (1 - (1 + load) * np.exp(-load)))
    return len(np.unique(found)), mean, spread


@pytest.mark.parametrize("buckets", [2**20, 2**16, 50000])
@pytest.mark.parametrize("kind", ["random", "frequent", "mixed"])
def test_collisions_are_those_of_chance(kind, buckets):
    rng = np.random.default_rng(1)
    if kind == "frequent":
        # All pairs of the first words of a vocabulary.
        ids = np.stack(np.meshgrid(*[np.arange(1, 448)] * 2), -1).reshape(-1, 2)
    else:
        ids = np.unique(rng.integers(1, 20000, (200_000, 2)), axis=0)
    found = buckets_of(ids, 2, buckets)[:, 2]
    if kind == "mixed":
        # Words, pairs and triples do not meet more often than others.
        words = buckets_of(np.arange(1, 20000)[:, None], 1, buckets)[:, 0]
        triples = np.unique(rng.integers(1, 20000, (90_000, 3)), axis=0)
        triples = buckets_of(triples, 3, buckets)[:, 6]
        found = np.concatenate([words, found[:90_000], triples])
    hit, mean, spread = occupied(found, buckets)
    assert abs(hit - mean) < 5 * spread
    # And the buckets are as full as one another.
    counts = np.bincount(found, minlength=buckets)
    assert counts[0] == 0
    assert np.var(counts[1:]) == pytest.approx(np.mean(counts[1:]), rel=0.05)


def find(table, keys):
    tensors = (
        ops.convert_to_tensor(np.asarray(a, "int32")) for a in (table, keys)
    )
    found = numpy_of(ngrams.find_keys(*tensors))
    assert found.dtype == "int32"
    return found.tolist()


def test_keys_are_found_or_not():
    free = ngrams.FREE
    keys = [[7, 0, 5, 6], [2, free - 1, 8, 4]]
    assert find([0, 2, 5, 7, free, free], keys) == [[3, 0, 2, 0], [1, 0, 0, 0]]
    # A table without a free place, and those of one key and of none.
    assert find([0, 4, free - 1], keys) == [[0, 0, 0, 0], [0, 2, 0, 1]]
    assert find([0, 8], keys) == [[0, 0, 0, 0], [0, 0, 1, 0]]
    assert find([0, free], keys) == [[0] * 4] * 2
    assert find([0, 8], np.zeros((3, 0))) == [[]] * 3


def test_any_key_is_found_in_a_large_table():
    rng = np.random.default_rng(0)
    table = np.unique(rng.integers(1, ngrams.FREE, 50_000))
    table = np.concatenate([[0], table, [ngrams.FREE] * 99])
    keys = np.where(
        rng.uniform(size=(30, 40)) < 0.5,
        rng.choice(table[:-99], (30, 40)),
        rng.integers(1, ngrams.FREE, (30, 40)),
    )
    places = {key: place for place, key in enumerate(table.tolist())}
    expected = [[places.get(key, 0) for key in row] for row in keys.tolist()]
    assert find(table, keys) == expected
    assert np.count_nonzero(expected) > 500


SPANNED = [[5, 3, 0, 9, 2, 0], [7, 1, 0, 0, 0, 0], [0] * 6, [1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("span", [None, 1, 3, 6, 9, -1, -2, -3, -6, -9])
def test_the_first_and_the_last_words(span):
    ids = ops.convert_to_tensor(np.asarray(SPANNED, "int32"))
    cut = numpy_of(ngrams.cut_span(ids, span))
    width = min(6, abs(span or 6))
    assert cut.shape == (4, width)
    for row, text in zip(cut.tolist(), SPANNED, strict=True):
        words = oracles_text.words_in(text, span)
        assert (row + [0] * 6)[: len(words)] == words
        assert not any(row[len(words) :])


@pytest.mark.parametrize("span", [None, 3, -3])
@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_of_nothing_there_is_no_word(span, shape):
    cut = ngrams.cut_span(ops.zeros(shape, "int32"), span)
    width = min(3, shape[1]) if span else shape[1]
    assert tuple(cut.shape) == (shape[0], width)


def test_distinct_drops_repeats_and_sorts():
    numbers = [[3, 0, 3, 1, 0, 3], [2, 2, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0]]
    found = numpy_of(ngrams.distinct(ops.convert_to_tensor(numbers)))
    for row, given in zip(found, numbers, strict=True):
        assert sorted(row[row > 0]) == sorted(set(given) - {0})
        assert (np.diff(row[row > 0]) > 0).all()
    assert found.shape == (3, 6)


@pytest.mark.parametrize("trailing", [(), (3,)])
def test_rows_of_a_table_are_zero_for_none(trailing):
    table = draw(5, *trailing)
    places = np.asarray([[0, 4], [2, 2]], "int32")
    expected = table[places]
    expected[0, 0] = 0
    assert_close(
        ngrams.take_rows(ops.convert_to_tensor(table), places), expected
    )


def test_half_rows_come_out_in_float32():
    table = ops.cast(ops.convert_to_tensor(draw(5)), "float16")
    rows = ngrams.take_rows(table, ops.convert_to_tensor([[1, 2]]))
    assert numpy_of(rows).dtype == "float32"


def test_as_many_ngrams_as_a_text_can_have():
    for length, order in ((0, 2), (1, 3), (5, 1), (6, 3)):
        text = list(range(1, length + 1))
        expected = len(oracles_text.ngrams_of(text, order))
        assert ngrams.ngram_count(length, order) == expected


@pytest.mark.parametrize(
    ("buckets", "max_order", "message"),
    [
        (1, 1, "`buckets` must be an integer in 2..16777216. Received: "
         "buckets=1"),
        (2**24 + 1, 1, "Received: buckets=16777217"),
        (2.0, 1, "Received: buckets=2.0"),
        (8, 0, "`max_order` must be an integer in 1..5. Received: max_order=0"),
        (8, 6, "Received: max_order=6"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(buckets, max_order, message):
    with pytest.raises(ValueError, match=r"^Owner: ") as error:
        ngrams.check_ngrams("Owner", buckets, max_order)
    assert message in str(error.value)
