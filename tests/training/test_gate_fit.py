"""Gates fitted to given outputs of experts, beside NumPy."""

import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    TemperatureScaling,
    UniformGating,
)
from moe_keras.training import fit_gate, predict_experts, predict_out_of_fold
from moe_keras.zoo import build_sentiment_moe
from tests.tools import numpy_of, only_tensorflow

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(240, 3)).astype("float32")
# The first column says which of two rules holds.
LABELS = np.where(ROWS[:, 0] > 0, ROWS[:, 1] > 0, ROWS[:, 2] > 0).astype(int)


def network(gate=None, shared=None):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    # What decides between the rules gets through whatever a backend draws.
    x = keras.layers.Dense(
        3, "tanh", kernel_initializer="orthogonal", name="front"
    )(inputs)
    x = MixtureOfExperts(
        DenseExpert(2, 2, activation=None, name="pair"),
        gate or GatingLayer(2, name="gate"),
        LogitFusion("logarithmic"),
        shared=shared,
        name="moe",
    )(x)
    x = TemperatureScaling(2.0)(x)
    return keras.Model(inputs, keras.layers.Softmax()(x))


def rules():
    """What two experts say, each right under one of the rules."""
    logits = np.zeros((len(ROWS), 2, 2), "float32")
    for place, column in enumerate((1, 2)):
        logits[:, place, 1] = 6 * np.sign(ROWS[:, column])
    return logits


def weights_of(model):
    return {weight.path: numpy_of(weight) for weight in model.weights}


def test_the_gate_learns_which_expert_to_trust_and_nothing_else_changes():
    model = network()
    before, flags = weights_of(model), [w.trainable for w in model.weights]
    history = fit_gate(
        model, ROWS, LABELS, rules(), epochs=60, learning_rate=0.1, seed=0
    )
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    changed = {
        path
        for path, value in weights_of(model).items()
        if np.any(value != before[path])
    }
    assert changed == {"moe/gate/kernel"}
    assert [w.trainable for w in model.weights] == flags
    front = model.get_layer("front")(ROWS)
    gates = numpy_of(model.get_layer("moe").gate(front))
    # Where the rules disagree, it matters.
    disagree = np.sign(ROWS[:, 1]) != np.sign(ROWS[:, 2])
    right = (gates[:, 0] > 0.5) == (ROWS[:, 0] > 0)
    assert right[disagree].mean() > 0.9


def test_the_loss_is_that_of_the_mixture_of_the_given_logits():
    model = network()
    given = RNG.normal(size=(240, 2, 2)).astype("float32")
    gate = model.get_layer("moe").gate
    gates = numpy_of(gate(model.get_layer("front")(ROWS)))
    fused = np.einsum("ne,nec->nc", gates, given) / 2
    expected = -np.log(softmax(fused, axis=-1))[np.arange(240), LABELS].mean()
    history = fit_gate(
        model,
        ROWS,
        LABELS,
        given,
        epochs=1,
        learning_rate=1e-12,
        batch_size=240,
    )
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_a_seed_repeats_it():
    found = []
    for _ in range(2):
        model = network()
        fit_gate(model, ROWS, LABELS, rules(), epochs=2, seed=3)
        found.append(numpy_of(model.get_layer("moe").gate.kernel))
    np.testing.assert_array_equal(*found)


def test_experts_are_asked_whatever_the_gate_chose():
    model = network(GatingLayer(2, top_k=1, name="gate"))
    bank = model.get_layer("moe").experts[0]
    expected = numpy_of(bank(model.get_layer("front")(ROWS)))
    np.testing.assert_allclose(
        predict_experts(model, ROWS), expected, atol=1e-5
    )


def test_out_of_fold_each_row_is_predicted_by_the_others():
    seen = {}

    def fit(rows, labels, number):
        """Experts that are a regression of the rows that they are given."""
        seen[number] = len(rows)
        model = network()
        model.get_layer("front").set_weights([np.eye(3), np.zeros(3)])
        found = LogisticRegression().fit(np.tanh(rows), labels)
        kernel = np.zeros((2, 3, 2))
        kernel[:, :, 1] = found.coef_
        bias = np.zeros((2, 2))
        bias[:, 1] = found.intercept_
        model.get_layer("moe").experts[0].set_weights([kernel, bias])
        return model

    found = predict_out_of_fold(fit, ROWS, LABELS, folds=4, seed=5)
    expected = np.zeros((240, 2, 2))
    parts = StratifiedKFold(4, shuffle=True, random_state=5)
    for learn, rest in parts.split(ROWS, LABELS):
        regression = LogisticRegression().fit(
            np.tanh(ROWS[learn]), LABELS[learn]
        )
        score = regression.decision_function(np.tanh(ROWS[rest]))
        expected[rest, :, 1] = score[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert seen == dict.fromkeys(range(4), 180)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"rarest class.*folds=9.*rarest=2"):
        predict_out_of_fold(None, ROWS[:5], [0, 0, 0, 1, 1], folds=9)
    with pytest.raises(ValueError, match=r"\(N, 2, C\).*\(240, 3, 2\)"):
        fit_gate(network(), ROWS, LABELS, np.zeros((240, 3, 2)))
    with pytest.raises(ValueError, match=r"a weight to train.*UniformGating"):
        fit_gate(network(UniformGating(2)), ROWS, LABELS, rules())
    shared = network(shared=keras.layers.Dense(2))
    with pytest.raises(ValueError, match="without a shared path"):
        fit_gate(shared, ROWS, LABELS, rules())


@only_tensorflow
def test_texts_of_different_lengths():
    texts = np.array(
        ["good " * n + "film" for n in range(1, 9)]
        + ["bad " * n + "film" for n in range(1, 9)],
        dtype=object,
    )
    labels = np.repeat([1, 0], 8)
    model = build_sentiment_moe(
        texts, labels, experts={"ngram": 2}, min_count=1, max_length=16
    )
    # One expert is always right, and the other wrong.
    logits = np.zeros((16, 2, 2), "float32")
    logits[:, 0, 1] = np.where(labels, 4, -4)
    logits[:, 1, 1] = -logits[:, 0, 1]
    history = fit_gate(
        *(model, texts, labels, logits), 30, 0.1, batch_size=3, seed=0
    )
    assert history.history["loss"][-1] < 0.2
