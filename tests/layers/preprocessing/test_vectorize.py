"""Words to ids, and vocabularies that are learned."""

import json
from collections import Counter

import keras
import numpy as np
import pytest

from moe_keras.layers import TextCleaning, WordIds, text_vectorizer
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    unpack_architecture,
)
from tests.signature import check_signature
from tests.tools import BACKEND, numpy_of, only_tensorflow

TEXTS = [
    "The film is good, the cast is good.",
    "A film!",
    "Is it a good film?",
    "",
    "b a",
]


def tiny_model(clean, ids):
    texts = keras.Input((), dtype="string", name="texts")
    found = ids(clean(texts))
    x = keras.layers.Embedding(ids.vocabulary_size(), 4)(found)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(texts, keras.layers.Dense(2, "softmax")(x))


@only_tensorflow
def test_ids_are_those_of_keras_cut_and_never_empty():
    import tensorflow as tf

    words = ["good", "film", "n't"]
    theirs = keras.layers.TextVectorization(
        standardize=None, split="whitespace", vocabulary=words
    )
    ours = WordIds(words)
    texts = ["good film", "", "a n't film good good", "film"]
    found = ours(texts)
    assert found.dtype == "int64"
    np.testing.assert_array_equal(found, theirs(texts))
    np.testing.assert_array_equal(found[2], [1, 4, 3, 2, 2])
    short = WordIds(words, max_length=3)
    np.testing.assert_array_equal(short(texts), theirs(texts)[:, :3])
    np.testing.assert_array_equal(short(["film"]), [[3]])
    for none in (["", ""], tf.constant(["", ""]), np.array([[""], [""]])):
        np.testing.assert_array_equal(ours(none), [[0], [0]])
    data = tf.data.Dataset.from_tensor_slices(["", ""]).batch(2).map(ours)
    (batch,) = data.as_numpy_iterator()
    np.testing.assert_array_equal(batch, [[0], [0]])


@only_tensorflow
def test_a_vocabulary_counts_texts_and_breaks_ties_by_the_letter():
    counts = Counter()
    for text in TEXTS:
        counts.update(
            set(
                text.lower()
                .translate(str.maketrans(",.", "  "))
                .replace("!", " ! ")
                .replace("?", " ? ")
                .split()
            )
        )
    for min_count in (1, 2):
        clean, ids = text_vectorizer(TEXTS, min_count=min_count)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        expected = [word for word in ranked if counts[word] >= min_count]
        assert list(ids.vocabulary) == expected
    assert list(ids.vocabulary) == ["a", "film", "good", "is"]
    assert isinstance(clean, TextCleaning)
    assert ids.get_vocabulary() == ["", "[UNK]", "a", "film", "good", "is"]
    np.testing.assert_array_equal(
        ids(clean(["GOOD <b>film</b>?"])), [[4, 3, 1]]
    )


@only_tensorflow
def test_the_fewer_the_texts_the_rarer_a_word_may_be():
    rare = ["once", "twice", "twice"]
    for size, expected in (
        (9, {"once", "twice", "all"}),
        (4_999, {"once", "twice", "all"}),
        (5_000, {"twice", "all"}),
    ):
        # Not all of them can be counted before they are read.
        texts = iter([*rare, *["all"] * (size - len(rare))])
        _, ids = text_vectorizer(texts)
        assert set(ids.vocabulary) == expected
    # What is said holds, however few there are.
    _, ids = text_vectorizer(rare, min_count=2)
    assert set(ids.vocabulary) == {"twice"}


@only_tensorflow
def test_halves_of_characters_are_no_error():
    """As `json` leaves them of a broken emoji, and `surrogateescape` of bytes.

    They are what broken bytes are: a space.
    """
    half, escaped = json.loads('"good\\ud83d film"'), "good\udcff film"
    for text in (half, escaped):
        _, ids = text_vectorizer([text, np.str_(text)])
        assert ids.vocabulary == ("film", "good")


@only_tensorflow
def test_words_of_a_vocabulary_that_no_text_holds_are_told():
    words = ["good", "Film", "a film", "n't", "café", "don't"]
    message = (
        "text_vectorizer: 4 of the 6 words of `vocabulary` are never found, as "
        r"texts are cleaned and split first: 'Film' becomes \['film'\]\."
    )
    with pytest.warns(UserWarning, match=message) as told:
        text_vectorizer(vocabulary=words)
    assert [one.filename for one in told] == [__file__]
    with pytest.warns(UserWarning, match=r"'a film' becomes \['a', 'film'\]"):
        text_vectorizer(vocabulary=["a film"])
    # Those of another vectorizer are found, marks too where they are kept.
    _, learned = text_vectorizer(["Don't! A café, good?"])
    text_vectorizer(vocabulary=learned.vocabulary)
    text_vectorizer(vocabulary=["good", ","], punctuation="keep")
    with pytest.warns(UserWarning, match=r"1 of the 2 words.*',' becomes \[\]"):
        text_vectorizer(vocabulary=["good", ","])


@only_tensorflow
def test_texts_come_in_any_form_and_order():
    import tensorflow as tf

    many = [f"{text} w{n % 70}" for n, text in enumerate(TEXTS * 120)]
    _, ids = text_vectorizer(many)
    assert len(ids.vocabulary) == 4 + 6 + 70
    data = tf.data.Dataset.from_tensor_slices(many)
    for texts in (
        many[::-1],
        iter(many),
        np.array(many),
        np.array(many, dtype=object),
        [text.encode() for text in many],
        data,
        data.batch(7),
    ):
        assert text_vectorizer(texts)[1].vocabulary == ids.vocabulary


@only_tensorflow
def test_options():
    def words(**options):
        return text_vectorizer(TEXTS, **options)[1].vocabulary

    assert words(max_tokens=4) == ("a", "film")
    # Of the first text, only `the` is read then.
    assert words(max_length=1, min_count=1) == ("a", "b", "is", "the")
    assert "," in words(min_count=1, punctuation="keep")
    assert words(max_bytes=3, min_count=1) == ("a", "b", "f", "is", "the")
    clean, ids = text_vectorizer(
        vocabulary=["x"], max_length=2, max_bytes=5, name="clean"
    )
    assert (clean.max_bytes, clean.name, ids.max_length) == (5, "clean", 2)
    assert ids.vocabulary == ("x",)


@only_tensorflow
def test_models_are_saved_and_fit_in_a_preset(tmp_path):
    import tensorflow as tf

    model = tiny_model(*text_vectorizer(TEXTS, max_length=3))
    texts = tf.constant([*TEXTS, "\x00"])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(texts), model(texts))
    content = pack_architecture(model, "test")
    twin = unpack_architecture(content, "model.json", "test")
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(texts), model(texts))
    arrays = np.array(TEXTS, dtype=object)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(arrays, np.arange(5) % 2, verbose=0)
    assert np.all(np.isfinite(model.predict(arrays, verbose=0)))
    # A batch of nothing has finite outputs, too.
    assert np.all(np.isfinite(model(tf.constant(["", " "]))))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs TensorFlow")
def test_signature_and_configuration():
    layer = WordIds(["a", "b"], 7, name="ids")
    check_signature(WordIds, layer)
    again = WordIds.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.vocabulary, again.max_length) == (("a", "b"), 7)
    assert again.compute_output_shape((3,)) == (3, None)
    spec = again(keras.Input((), dtype="string"))
    assert (spec.shape, spec.dtype) == ((None, None), "int64")


@only_tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": []}, r"must hold words\."),
        ({"vocabulary": "ab"}, r"must hold words\."),
        ({"vocabulary": ["a", ""]}, r"must hold words\."),
        ({"vocabulary": ["a", b"b"]}, r"must hold words\."),
        ({"vocabulary": ["a", "b", "a"]}, "each word once.*words=3, diff"),
        ({"vocabulary": ["a"], "max_length": 0}, "max_length=0"),
    ],
)
def test_bad_arguments_of_ids_are_named(options, message):
    with pytest.raises(ValueError, match=f"WordIds: .*{message}"):
        WordIds(**options)


@only_tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either `texts` or `vocabulary`"),
        ({"texts": ["a"], "vocabulary": ["a"]}, "either `texts` or"),
        (
            {"texts": ["a", "b"], "min_count": 2},
            "no word is in 2 .*different_words=2",
        ),
        ({"texts": ["a"], "max_tokens": 2}, "max_tokens=2"),
        ({"texts": ["a"], "min_count": 0}, "min_count=0"),
        ({"texts": "a film"}, "must be an iterable of texts.*'a film'"),
        ({"texts": 3}, "must be an iterable of texts.*3"),
        ({"texts": [3]}, "must hold str.*'int'"),
        ({"texts": [("a", 1)]}, "must hold str.*'tuple'"),
        ({"vocabulary": ["a", "b"], "max_tokens": 3}, "1 words or fewer"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=f"text_vectorizer: .*{message}"):
        text_vectorizer(**options)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="texts are read there")
def test_elsewhere_texts_need_tensorflow():
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="WordIds: texts need Tensor"):
            WordIds(["a"])
        return
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        WordIds(["a"])(keras.Input((), dtype="string"))
    # Outside of a model they are prepared all the same.
    clean, ids = text_vectorizer(["A film!"], min_count=1)
    np.testing.assert_array_equal(numpy_of(ids(clean(["film a"]))), [[4, 3]])
    assert numpy_of(ids(clean([""]))).shape == (1, 1)
