"""Subsets from a cache return what the smaller models return."""

from itertools import combinations

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionFusion,
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    LogitFusion,
    MoEFeedForward,
    UniformGating,
)
from moe_keras.lifecycle import keep_experts
from moe_keras.search.evaluation import CachedExperts, evaluation_of
from moe_keras.search.log_loss import log_loss, read_data
from tests.oracles import softmax
from tests.search.models import (
    DATA,
    LABELS,
    ROWS,
    WEIGHTS,
    dense,
    mixed,
    mixture_of,
    model_of,
)
from tests.tools import assert_close, draw, numpy_of, randomize

GATES = {
    "soft": lambda: GatingLayer(4),
    "temperature": lambda: GatingLayer(4, temperature=3.0),
    "top_1": lambda: GatingLayer(4, 1),
    "top_2": lambda: GatingLayer(4, 2),
    "unnormalised": lambda: GatingLayer(4, 2, normalize=False),
    "noisy": lambda: GatingLayer(4, 2, noisy=True),
    "bias": lambda: GatingLayer(4, 2, load_bias=1e-3),
    "sigmoid": lambda: GatingLayer(4, activation="sigmoid"),
    "sigmoid_2": lambda: GatingLayer(4, 2, activation="sigmoid"),
    "top_p": lambda: GatingLayer(4, top_p=0.6),
    "late": lambda: GatingLayer(4, 2, order="top_k_softmax"),
    "cosine": lambda: GatingLayer(4, scores="cosine", score_units=4),
    "features": lambda: FeatureGating(
        keras.layers.Dense(3), GatingLayer(4, top_k=2)
    ),
    "uniform": lambda: UniformGating(4),
    "weighted": lambda: UniformGating(4, [1, 2, 3, 4]),
}


def check_all(model, inputs=ROWS, name="moe", atol=1e-5):
    """Every subset of every size, against models that are really smaller."""
    holder = model.get_layer(name)
    evaluate = evaluation_of(
        model, holder, read_data((inputs, LABELS), "test"), False, 8
    )
    assert isinstance(evaluate, CachedExperts)
    for size in range(1, holder.num_experts + 1):
        subsets = list(combinations(range(holder.num_experts), size))
        found = evaluate.predict(subsets)
        for outputs, kept in zip(found, subsets, strict=True):
            smaller = keep_experts(model, kept, holder)
            expected = numpy_of(smaller(inputs, training=False))
            assert_close(outputs.astype("float32"), expected, atol=atol)
    return evaluate


@pytest.mark.parametrize("kind", GATES)
def test_every_cached_gate(kind):
    model = model_of(mixture_of(GATES[kind]()))
    if kind == "bias":
        bias = model.get_layer("moe").gate.selection_bias
        bias.assign([0.5, -0.5, 0.3, 0.0])
    check_all(model)


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": LogitFusion()},
        {"fusion": LogitFusion("logarithmic")},
        {"fusion": AttentionFusion(2)},
        {"shared": keras.layers.Dense(3)},
        {"dispatch": "dense", "experts": mixed(), "gate": GatingLayer(5, 2)},
        {"dispatch": "gather", "gate": GatingLayer(4, 2)},
    ],
    ids=["linear", "logarithmic", "attention", "shared", "banks", "gather"],
)
def test_fusions_shared_paths_banks_and_dispatches(options):
    check_all(model_of(mixture_of(**options)))


def test_a_rest_that_also_reads_what_is_beside_the_mixture():
    def head(inputs, values):
        values = values + keras.layers.Dense(3)(inputs)
        return keras.layers.Softmax()(values * inputs[:, :1])

    evaluate = check_all(model_of(mixture_of(), head))
    assert len(evaluate._sides) == 2


def test_a_model_that_ends_in_its_mixture():
    bank = dense(output_activation="softmax")
    inputs = keras.Input((5,))
    model = keras.Model(inputs, mixture_of(experts=bank)(inputs))
    check_all(randomize(model))


def test_gates_of_positions():
    inputs = keras.Input((4, 5))
    values = mixture_of(GatingLayer(4, 2))(inputs)
    pooled = keras.layers.GlobalMaxPooling1D()(values)
    outputs = keras.layers.Dense(3, "softmax")(pooled)
    check_all(randomize(keras.Model(inputs, outputs)), draw(30, 4, 5))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_policies(policy):
    keras.config.set_dtype_policy(policy)
    check_all(model_of(mixture_of(GatingLayer(4, 2))), atol=2e-2)


def masked_positions():
    inputs = keras.Input((4,), dtype="int32")
    values = keras.layers.Embedding(9, 5, mask_zero=True)(inputs)
    values = mixture_of(GatingLayer(4, 2), dense(units=5))(values)
    pooled = keras.layers.GlobalAveragePooling1D()(values)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(pooled))


def a_block():
    inputs = keras.Input((4, 5))
    values = MoEFeedForward(4, 6, name="moe")(inputs)
    pooled = keras.layers.GlobalMaxPooling1D()(values)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(pooled))


WORDS = np.random.default_rng(3).integers(0, 9, (30, 4)).astype("int32")


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: model_of(mixture_of(ExpertChoiceGating(4))), ROWS),
        (
            lambda: model_of(
                mixture_of(
                    GatingLayer(4, 2),
                    dispatch="capacity",
                    eval_capacity_factor=1.0,
                )
            ),
            ROWS,
        ),
        (masked_positions, WORDS),
        (a_block, draw(30, 4, 5)),
    ],
    ids=["expert_choice", "capacity", "mask", "block"],
)
def test_what_is_not_cached_is_run(make, inputs):
    model = randomize(make())
    holder = model.get_layer("moe")
    data = read_data((inputs, LABELS), "test")
    evaluate = evaluation_of(model, holder, data, False, 30)
    assert not isinstance(evaluate, CachedExperts)
    smaller = keep_experts(model, [1, 3], holder)
    outputs = numpy_of(smaller(inputs, training=False))
    expected = -np.log(outputs[np.arange(30), LABELS]).mean()
    assert evaluate([(1, 3)]) == [pytest.approx(expected, abs=1e-5)]


def test_a_mask_in_front_of_pooled_gates_is_cached():
    inputs = keras.Input((4,), dtype="int32")
    values = keras.layers.Embedding(9, 5, mask_zero=True)(inputs)
    gate = GatingLayer(4, 2, level="sample")
    values = keras.layers.GlobalAveragePooling1D()(values)
    outputs = keras.layers.Dense(3, "softmax")(mixture_of(gate)(values))
    check_all(randomize(keras.Model(inputs, outputs)), WORDS)


def test_the_loss_by_hand():
    model = model_of(mixture_of())
    mixture, first = model.get_layer("moe"), model.layers[1]
    rows = numpy_of(first(ROWS))
    (bank,), gate = mixture.experts, mixture.gate
    each = numpy_of(bank(rows))
    logits = rows @ numpy_of(gate.kernel)
    kernel, bias = map(numpy_of, model.layers[-1].weights)
    losses = []
    for n, label in enumerate(LABELS):
        gates = softmax(logits[n, [0, 2]])
        fused = gates[0] * each[n, 0] + gates[1] * each[n, 2]
        losses.append(-np.log(softmax(fused @ kernel + bias)[label]))
    for data, expected in (
        (DATA, np.mean(losses)),
        ((*DATA, WEIGHTS), np.sum(WEIGHTS * losses) / np.sum(WEIGHTS)),
    ):
        evaluate = evaluation_of(
            model, mixture, read_data(data, "test"), False, 7
        )
        assert evaluate([(0, 2)]) == [pytest.approx(expected, abs=1e-5)]


def test_log_losses_of_all_kinds_of_outputs():
    labels = np.asarray([0, 1, 1])
    data = read_data((None, labels), "test")
    logits = draw(3, 2)
    each = [softmax(row)[k] for row, k in zip(logits, labels, strict=True)]
    expected = pytest.approx(-np.log(each).mean())
    assert log_loss(logits, data, True, "test") == expected
    margin = logits[:, 1:] - logits[:, :1]
    assert log_loss(margin, data, True, "test") == expected
    assert log_loss(margin[:, 0], data, True, "test") == expected
    chance = 1 / (1 + np.exp(-margin))
    assert log_loss(chance, data, False, "test") == expected
    column = read_data((None, labels[:, None]), "test")
    assert log_loss(chance, column, False, "test") == expected
    sure = np.asarray([[0.0, 1.0]] * 3)
    assert np.isfinite(log_loss(sure, data, False, "test"))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (ROWS, r"`data` must be \(x, y\)"),
        ((ROWS, LABELS.astype(str)), "`data` must have labels"),
        ((ROWS, []), "`data` must have labels"),
    ],
)
def test_bad_data(data, rule):
    with pytest.raises(ValueError, match=rule):
        read_data(data, "test")


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [-1, 0, 1]])
def test_labels_that_do_not_fit(labels):
    data = read_data((None, labels), "test")
    with pytest.raises(ValueError, match=r"a label in 0\.\.C-1"):
        log_loss(draw(3, 3), data, True, "test")
