"""Sentiment models as SavedModels: the same answers, whatever is asked."""

import numpy as np
import pytest
import tensorflow as tf

from moe_keras.demo.served import predict_without_keras
from moe_keras.export import export_saved_model
from tests.hostile import REPEATED, hostile_texts
from tests.zoo.tiny_sentiment import NAMES, reviews, sentiment_model

pytestmark = pytest.mark.slow

GATES = {"sparse": {"top_k": 2}, "soft": {"fusion": "linear"}}
# What a served model and Keras may differ by, and a text from itself.
CLOSE = 1e-5


ORDINARY = [text.encode() for text in reviews().test.inputs]
HOSTILE = hostile_texts(300, 8)


@pytest.fixture(scope="module", params=["sparse", "soft"])
def exported(request, tmp_path_factory):
    """Which gate, the model, and the folder of its SavedModel."""
    model = sentiment_model(**GATES[request.param])
    folder = tmp_path_factory.mktemp("artefact")
    return request.param, model, export_saved_model(model, folder)


@pytest.fixture(scope="module")
def served(exported):
    """All texts by the SavedModel, in a process that takes its time to come."""
    return predict_without_keras(exported[-1], [*ORDINARY, *HOSTILE])


def ask(artefact, texts):
    """The rows of the answer, texts served together."""
    signature = artefact.signatures["serving_default"]
    return signature(texts=tf.constant(texts))["outputs"].numpy()


def check_probabilities(found, rows):
    assert found.shape == (rows, 2)
    assert np.all(np.isfinite(found))
    assert np.all(found >= 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=CLOSE)


def check_hostile(folder, texts, served):
    """Any text has probabilities, and those that it has when it is alone."""
    for kind in ("outputs", "explained"):
        check_probabilities(served[kind], len(texts))
    artefact = tf.saved_model.load(str(folder))
    for place in range(0, len(texts), len(texts) // 10):
        alone = ask(artefact, texts[place : place + 1])
        np.testing.assert_allclose(
            alone[0], served["outputs"][place], atol=CLOSE
        )


def test_ordinary_texts_are_answered_as_by_keras(exported, served):
    kind, model, _ = exported
    served = {key: rows[: len(ORDINARY)] for key, rows in served.items()}
    expected = model.predict(reviews().test.inputs, verbose=0)
    np.testing.assert_allclose(served["outputs"], expected, atol=CLOSE)
    np.testing.assert_allclose(served["explained"], expected, atol=CLOSE)
    # They are not all taken for one text.
    assert np.ptp(expected[:, 1]) > 0.1
    chosen = (served["gates"] > 0).sum(axis=1)
    assert served["gates"].shape == (len(ORDINARY), len(NAMES))
    assert set(chosen) == {2 if kind == "sparse" else len(NAMES)}
    np.testing.assert_allclose(served["gates"].sum(axis=1), 1, atol=CLOSE)


def test_hostile_texts_are_answered(exported, served):
    own = {key: rows[len(ORDINARY) :] for key, rows in served.items()}
    check_hostile(exported[-1], HOSTILE, own)


def test_very_many_hostile_texts_are_answered(exported):
    texts = hostile_texts(10_000, 20)
    folder = exported[-1]
    check_hostile(folder, texts, predict_without_keras(folder, texts))


def test_a_text_is_answered_the_same_in_any_company(exported):
    _, _, folder = exported
    artefact = tf.saved_model.load(str(folder))
    texts = [*ORDINARY[:3], b"", b"good", b"\xff\x00"]
    alone = np.concatenate([ask(artefact, [text]) for text in texts])
    check_probabilities(alone, len(texts))
    for unit in REPEATED:
        huge = unit * (1_000_000 // len(unit))
        found = ask(artefact, [*texts, huge])
        np.testing.assert_allclose(found[:-1], alone, atol=CLOSE)
        check_probabilities(found[-1:], 1)
