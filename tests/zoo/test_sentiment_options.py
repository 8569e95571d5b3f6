"""Every argument of the sentiment builder, and what it refuses."""

import inspect
import re

import keras
import numpy as np
import pytest

from moe_keras.layers import GatingLayer, UniformGating
from moe_keras.zoo import build_sentiment_moe
from tests.flips import differ
from tests.tools import numpy_of, only_tensorflow, randomize
from tests.zoo.reviews import ATTENTION, CONV, apply, build, reviews

pytestmark = only_tensorflow

TEXTS, LABELS = reviews()
EXPERTS = {"ngram": 1, "conv": [CONV, CONV]}
# A sparse gate, so that all that is about one counts.
SPARSE = {"experts": EXPERTS, "top_k": 2}
ALL = {"experts": EXPERTS}
# (what else is given, another value than the usual one).
FLIPS = {
    "texts": (SPARSE, TEXTS[::-1]),
    "labels": (SPARSE, 1 - LABELS),
    "num_classes": ({"experts": {"conv": [CONV]}}, 3),
    "vocabulary": (SPARSE, ["good", "awful"]),
    "experts": (SPARSE, {"ngram": 1, "conv": [CONV, {**CONV, "filters": 4}]}),
    "top_k": (ALL, 2),
    "gate": (ALL, "uniform"),
    "fusion": (SPARSE, "linear"),
    "max_tokens": (SPARSE, 30),
    "min_count": (SPARSE, 40),
    "max_length": (SPARSE, 7),
    "embedding_dim": (SPARSE, 5),
    "embedded_tokens": (SPARSE, 10),
    "word_vectors": (SPARSE, "cooccurrence"),
    "read_length": (SPARSE, 4),
    "dropout": (SPARSE, 0.9),
    "embedding_dropout": (SPARSE, 0.9),
    "gate_dim": (SPARSE, 0),
    "gate_ratios": (SPARSE, True),
    "balance_loss": (SPARSE, 0.7),
    "importance_loss": (SPARSE, 0.7),
    "dispatch": (SPARSE, "dense"),
    "name": (SPARSE, "other"),
}


def observe(given):
    """What a user sees of a model."""
    keras.utils.set_random_seed(3)
    model = build(**given)
    seen = [numpy_of(weight) for weight in model.weights]
    randomize(model, scale=1.0)
    for training in (False, True):
        seen.append(apply(model, TEXTS[:40], training=training))
        seen += [numpy_of(loss) for loss in model.losses]
    moe = model.get_layer("moe")
    seen.append(np.asarray([moe.resolve_dispatch() == "sorted"]))
    return [*seen, np.frombuffer(model.name.encode(), "uint8")]


def test_every_argument_is_flipped():
    assert set(FLIPS) == set(inspect.signature(build_sentiment_moe).parameters)


@pytest.mark.parametrize("argument", FLIPS)
def test_an_argument_changes_something(argument):
    given, value = FLIPS[argument]
    one = observe(given)
    assert not differ(one, observe(given))
    assert differ(one, observe({**given, argument: value}))


CONVS = {"experts": {"conv": [CONV]}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"experts": {"convs": 1}}, "kinds among .*'ngram', .*: kind='convs'"),
        ({"experts": {}}, "must map kinds .* Received: experts={}"),
        ({"experts": 3}, "must map kinds .* Received: experts=3"),
        ({"experts": "conv"}, "must map kinds .* Received: experts='conv'"),
        ({"experts": {"conv": 0}}, "how many .* Received: conv=0"),
        ({"experts": {"conv": True}}, "how many .* Received: conv=True"),
        ({"experts": {"conv": "two"}}, "how many .* Received: conv='two'"),
        ({"experts": {"ngram": []}}, r"how many .* Received: ngram=\[\]"),
        ({"experts": {"conv": ["a"]}}, r"how many .* Received: conv=\['a'\]"),
        (
            {"experts": {"conv": [{"output_units": 3}]}},
            r"cannot say \['name', 'output_units'\] .* Received: conv=\[\{'out",
        ),
        (
            {"experts": {"ngram": [{"name": "a"}]}},
            r"cannot say .* Received: ngram=\[\{'name': 'a'\}\]",
        ),
        (
            {"labels": LABELS[:5]},
            r"one for each of .* texts_shape=.*labels_shape=\(5,\)",
        ),
        ({"labels": LABELS + 1}, "labels"),
        ({"labels": None}, "labels"),
        (
            {"gate_ratios": True, "gate": "uniform"},
            "`gate_ratios` needs `texts` and `labels`, and no `gate`. "
            "Received: gate='uniform'",
        ),
        (
            {"word_vectors": "glove"},
            "`word_vectors` must be in .* Received: word_vectors='glove'",
        ),
        (
            {
                "texts": None,
                "vocabulary": ["good"],
                "experts": {"conv": 1},
                "word_vectors": "cooccurrence",
            },
            "need `texts`. Received: word_vectors='cooccurrence'",
        ),
        (
            {"texts": None},
            "`texts` must be given.* Received: texts=None, exper",
        ),
        (
            {"texts": None, "vocabulary": ["good"]},
            r"`texts` must be given.*experts=\('ngram', 'conv'\)",
        ),
        ({"texts": None, **CONVS}, "`texts` must be given"),
        (
            {"texts": "one text"},
            "iterable of texts. Received: texts='one text'",
        ),
        ({"num_classes": 1}, "above 1. Received: num_classes=1"),
        ({"num_classes": 2.0}, "above 1. Received: num_classes=2.0"),
        ({"top_k": 3}, "top_k=3"),
        ({"top_k": 0}, "top_k=0"),
        (
            {"top_k": 2, "gate": "uniform"},
            "must be None with a `gate`.* Received: top_k=2, gate='uniform'",
        ),
        (
            {"top_k": 2, "gate": UniformGating(2)},
            "must be None with a `gate`.* Received: top_k=2, gate=<Uni",
        ),
        ({"gate": "softmax"}, "a layer over ids.* Received: gate='softmax'"),
        ({"gate": 3}, "a layer over ids.* Received: gate=3"),
        ({"gate": UniformGating(3)}, "3"),
        ({"fusion": "mean"}, "pool='mean'"),
        ({"top_k": 1, "fusion": "linear"}, "not be a linear pool.* Rec"),
        ({"max_tokens": 2}, "above 2. Received: max_tokens=2"),
        ({"min_count": 0}, "min_count=0"),
        ({"min_count": 301}, "no word is in 301 of the texts"),
        ({"max_length": 0}, "above 0. Received: max_length=0"),
        ({"max_length": None}, "above 0. Received: max_length=None"),
        ({"read_length": 1.5}, "above 0. Received: read_length=1.5"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"embedded_tokens": 1}, "above 1.* Received: embedded_tokens=1"),
        ({"dropout": 1.0}, r"in \[0, 1\). Received: dropout=1.0"),
        ({"balance_loss": -1.0}, "balance_loss=-1.0"),
        ({"importance_loss": -1.0}, "importance_loss=-1.0"),
        ({"dispatch": "some"}, "dispatch='some'"),
    ],
    ids=str,
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        build(**{"experts": {"ngram": 1, "conv": [CONV]}, **given})


def test_experts_are_checked_before_any_text_is_read():
    def texts():
        raise AssertionError("read")
        yield ""

    with pytest.raises(ValueError, match=re.escape("conv=0")):
        build_sentiment_moe(texts(), experts={"conv": 0})


def test_ngrams_weighted_by_rarity_need_no_labels():
    experts = {"ngram": [{"weighting": "inverse_frequency"}]}
    model = build(experts=experts, labels=None)
    (bank,) = model.get_layer("moe").experts
    assert numpy_of(bank.ratios).max() > 1
    # Nothing tells the classes apart yet.
    np.testing.assert_array_equal(apply(model, TEXTS[:3]), np.full((3, 2), 0.5))


def test_texts_may_be_a_list():
    given = {"experts": {"ngram": 1, "attention": [ATTENTION]}}
    one = build(**given, name="a")
    two = build(**given, texts=TEXTS.tolist(), labels=LABELS.tolist(), name="a")
    for left, right in zip(one.weights, two.weights, strict=True):
        assert left.shape == right.shape
    np.testing.assert_array_equal(
        one.get_layer("moe").experts[0].ratios,
        numpy_of(two.get_layer("moe").experts[0].ratios),
    )


def test_the_gate_that_is_made_has_what_was_asked_for():
    model = build(**SPARSE, balance_loss=0.3, importance_loss=0.2)
    router = model.get_layer("moe").gate.gate
    assert type(router) is GatingLayer
    assert (router.top_k, router.balance_loss) == (2, 0.3)
    assert router.importance_loss == 0.2
