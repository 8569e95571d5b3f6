"""Training in stages: what is frozen, what learns, and from what."""

import keras
import numpy as np
import pytest

from moe_keras.data.split import Split
from moe_keras.layers import (
    DenseExpert,
    LogitFusion,
    MixtureOfExperts,
    UniformGating,
)
from moe_keras.training import Stage, fit_stages
from tests.tools import numpy_of, only_tensorflow
from tests.training.staged import (
    WIDTH,
    build,
    changed,
    data,
    flags_of,
    part_of,
    weights_of,
)

# What is trained, from which loss, and the parts whose weights then change.
KINDS = {
    "experts": (("experts",), "experts"),
    "gate": (("gate",), "model"),
    "fusion": (("fusion",), "model"),
    "shared": (("shared",), "model"),
    "head": (("head",), "model"),
    "all": (("experts", "gate", "fusion", "shared", "head"), "model"),
    "likelihood": (("experts", "gate"), "mixture_likelihood"),
    "averaged": (("gate",), "averaged"),
}


def fit(model, *stages, **options):
    return fit_stages(
        model, data(), stages, batch_size=16, verbose=0, **options
    )


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind == "all"))
        for kind in KINDS
    ],
)
def test_only_what_is_named_changes(kind):
    parts, loss = KINDS[kind]
    model = build(shared=True)
    flags, before = flags_of(model), weights_of(model)
    train = "all" if kind == "all" else parts
    fit(model, Stage(name="one", train=train, loss=loss))
    expected = {path for path in before if part_of(path) in parts}
    assert changed(model, before) == expected
    assert flags_of(model) == flags


def test_sparse_mixtures_one_stage_after_the_other():
    """Each stage starts where the last one stopped, and moves its own part."""
    model = build(top_k=2)
    seen = [weights_of(model)]

    class Look(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            seen.append(weights_of(self.model))

    stages = [
        Stage(name="one", train="experts", loss="experts"),
        Stage(name="two", train="gate"),
        Stage(name="three", train=("fusion", "head"), expert_weights=[1] * 4),
    ]
    history = fit(model, *stages, callbacks=[Look()])
    moved = [("experts",), ("gate",), ("fusion", "head")]
    for before, after, parts in zip(seen, seen[1:], moved, strict=False):
        for path, value in before.items():
            same = np.array_equal(value, after[path])
            if part_of(path) is not None:
                assert same == (part_of(path) not in parts), path
    # The figures of the routing go on all the time.
    loads = [weights["moe/load"] for weights in seen]
    assert len(np.unique(loads, axis=0)) == len(loads)
    assert history.history["stage"] == ["one", "two", "three"]


def test_layers_by_name():
    model = build()
    before = weights_of(model)
    fit(model, Stage(name="one", train=["inner_norm", "deep"]))
    expected = {path for path in before if "inner_norm" in path}
    expected |= {path for path in before if "deep" in path}
    assert changed(model, before) == expected


def test_what_was_frozen_stays_frozen():
    model = build()
    model.get_layer("head").trainable = False
    (_, _, wrapped) = model.get_layer("moe").experts
    wrapped.trainable = False
    flags, before = flags_of(model), weights_of(model)
    fit(model, Stage(name="one", train="all"))
    still = {p for p in before if p.startswith("head/") or "inner" in p}
    assert changed(model, before) == set(before) - still
    assert flags_of(model) == flags


@pytest.mark.parametrize(
    ("loss", "moved"), [("experts", [0, 1, 2]), ("averaged", [0])]
)
def test_experts_that_no_row_reaches(loss, moved):
    """Alone they learn from all rows; from a loss with gates they do not."""
    inputs = keras.Input((WIDTH,))
    bank = DenseExpert(3, 3, output_activation=None, name="bank")
    gate = UniformGating(3, weights=[1, 0, 0])
    outputs = MixtureOfExperts(bank, gate, LogitFusion())(inputs)
    model = keras.Model(inputs, outputs)
    kernel = bank.weights[0]
    before = numpy_of(kernel).copy()
    fit(model, Stage(name="one", train="experts", loss=loss))
    after = numpy_of(kernel)
    assert [e for e in range(3) if np.any(after[e] != before[e])] == moved


@pytest.mark.parametrize("loss", ["averaged", "mixture_likelihood"])
@pytest.mark.jax
def test_what_experts_learn_depends_on_the_loss(loss):
    """Half of the rows contradict the others, and nothing tells them apart.

    The best that one expert can do alone is to say nothing. Two experts who
    contradict each other are as good a mixture: competing, each keeps to its
    side, while averaged, both end up in the middle.
    """
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.normal(size=(64, 1)), 2, axis=0).astype("float32")
    labels = (inputs[:, 0] > 0) ^ (np.arange(128) % 2 == 0)
    bank = DenseExpert(2, 2, use_bias=False, output_activation=None)
    moe = MixtureOfExperts(bank, UniformGating(2), LogitFusion())
    model = keras.Sequential([keras.Input((1,)), moe])
    bank.weights[0].assign([[[-0.7, 0.7]], [[0.6, -0.6]]])
    stage = Stage(
        name="one", train="experts", loss=loss, epochs=10, learning_rate=0.05
    )
    fit_stages(
        model,
        (inputs, labels.astype("int32")),
        [stage],
        batch_size=32,
        verbose=0,
    )
    kernel = numpy_of(bank.weights[0])
    slopes = kernel[:, 0, 1] - kernel[:, 0, 0]
    if loss == "averaged":
        assert np.all(np.abs(slopes) < 0.2)
    else:
        assert slopes[0] > 0.8
        assert slopes[1] < -0.8


@pytest.mark.parametrize("loss", ["experts", "averaged", "mixture_likelihood"])
def test_weights_of_experts_and_rows(loss):
    """Weights of 0 take out an expert, and all there is to learn."""
    model = build()
    before = weights_of(model)
    inputs, labels = data()
    stage = Stage(
        name="one",
        train=("flat", "deep") if loss == "experts" else "experts",
        loss=loss,
        # The first three are those of `flat` and `deep`.
        expert_weights=(0, 0, 1, 1) if loss == "experts" else None,
    )
    if loss == "experts":
        fit(model, stage)
        moved = changed(model, before)
        assert moved == {path for path in before if "deep" in path}
    nothing = (inputs, labels, np.zeros(len(labels), "float32"))
    history = fit_stages(model, nothing, [stage], verbose=0)
    assert history.history["loss"] == [0.0]


@pytest.mark.slow
def test_the_losses_are_those_of_the_view():
    """With a rate of next to nothing, the log is what NumPy computes."""
    model, (inputs, labels) = build(), data()
    from moe_keras.training import with_expert_outputs

    found = with_expert_outputs(model).predict(inputs, verbose=0)
    logits = found["expert_logits"].astype("float64")
    odds = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    odds = odds[np.arange(len(labels)), :, labels]
    gates, weights = found["gates"], np.array([1, 2, 0, 3])
    own = -np.log(found["probabilities"][np.arange(len(labels)), labels])
    extra = np.mean(np.sum(-np.log(odds) * weights, axis=-1))
    expected = {
        "experts": extra,
        "averaged": np.mean(np.sum(-gates * np.log(odds), axis=-1)) + extra,
        "mixture_likelihood": -np.mean(np.log(np.sum(gates * odds, axis=-1)))
        + extra,
        "model": np.mean(own) + extra,
    }
    for loss, value in expected.items():
        stage = Stage(
            name="one",
            # A frozen head: its normalisation uses its running statistics.
            train="flat",
            loss=loss,
            learning_rate=1e-9,
            expert_weights=tuple(weights.tolist()),
        )
        history = fit_stages(
            model, data(), [stage], data(), batch_size=48, verbose=0
        )
        assert history.history["val_loss"] == pytest.approx([value], rel=1e-4)
        assert history.history["loss"] == pytest.approx([value], rel=1e-4)


@pytest.mark.slow
def test_splits_and_datasets_are_arrays():
    """The same rows in the same order give the same weights."""
    stage = Stage(name="one", train="experts", loss="experts", epochs=2)
    inputs, labels = data(rows=16)
    split, results = Split(inputs, labels), []
    sources = [split, (inputs, labels)]
    if keras.backend.backend() == "tensorflow":
        sources.append(split.as_tf_dataset(16))
    for source in sources:
        model = build()
        fit_stages(model, source, [stage], split, seed=3, verbose=0)
        results.append(weights_of(model))
    for other in results[1:]:
        for path, value in results[0].items():
            np.testing.assert_allclose(other[path], value, atol=1e-5)


@only_tensorflow
def test_a_seed_repeats_it_bit_for_bit():
    results = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(0)
        bank = DenseExpert(3, 2, output_activation=None)
        moe = MixtureOfExperts(bank, UniformGating(2), LogitFusion())
        model = keras.Sequential([keras.Input((WIDTH,)), moe])
        fit(model, Stage(name="one", loss="averaged"), seed=seed)
        results.append(numpy_of(bank.weights[0]))
    one, again, other = results
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
