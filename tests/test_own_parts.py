"""Banks, gates and fusions of a user's own, as the pages say to write them.

The classes are those of the pages, and every public tool is run over them.
"""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.insight import collect_gates
from moe_keras.layers import (
    DenseExpert,
    ExpertBank,
    Fusion,
    Gate,
    GatingLayer,
    MixtureOfExperts,
)
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo import dense_twin
from tests.test_documents import CODE, ROOT
from tests.tools import CLOSE, draw, numpy_of, only_tensorflow, randomize

ROWS, WIDTH, EXPERTS, TOP, HIDDEN = 12, 3, 4, 2, 5
X = draw(ROWS, WIDTH)


def documented(page, name):
    """The class of this name, made by its block of a page alone."""
    blocks = CODE.findall((ROOT / "docs" / "concepts" / page).read_text())
    (block,) = [one for one in blocks if f"class {name}(" in one]
    namespace = {"__name__": "__page__"}
    exec(block, namespace)
    return namespace[name]


@pytest.fixture(scope="module")
def kinds():
    return (
        documented("experts.md", "BottleneckExpert"),
        documented("gating.md", "NearestGating"),
        documented("fusion.md", "ScaledFusion"),
    )


@pytest.fixture(scope="module")
def model(kinds):
    bank, gate, fusion = kinds
    mixture = MixtureOfExperts(
        bank(EXPERTS, HIDDEN),
        gate(EXPERTS, top_k=TOP, name="gate"),
        fusion=fusion(),
        eval_capacity_factor=EXPERTS,
        name="moe",
    )
    made = keras.Sequential([keras.Input((WIDTH,)), mixture])
    randomize(made)
    return made


def formula(model, experts=range(EXPERTS)):
    """Gates and result, a row and an expert at a time."""
    mixture = model.get_layer("moe")
    (bank,) = mixture.experts
    centres = numpy_of(mixture.gate.centres).astype("float64")
    down, up = numpy_of(bank.down), numpy_of(bank.up)
    scale = numpy_of(mixture.fusion.scale)
    gates, results = np.zeros((ROWS, EXPERTS)), []
    for row, x in enumerate(X.astype("float64")):
        scores = {e: -((x - centres[:, e]) ** 2).sum() for e in experts}
        best = sorted(scores, key=scores.get)[-TOP:]
        total = sum(np.exp(scores[e]) for e in best)
        result = np.zeros(WIDTH)
        for e in best:
            gates[row, e] = np.exp(scores[e]) / total
            result += gates[row, e] * (x + np.tanh(x @ down[e]) @ up[e])
        results.append(scale * result)
    return gates, np.array(results)


@pytest.mark.parametrize("dispatch", ["auto", "dense", "sorted", "capacity"])
def test_they_are_what_their_formulas_say_under_every_dispatch(model, dispatch):
    mixture = model.get_layer("moe")
    mixture.dispatch = dispatch
    np.testing.assert_allclose(
        numpy_of(mixture(X)), formula(model)[1], atol=CLOSE
    )
    mixture.dispatch = "auto"


def test_what_a_bank_cannot_do_is_said(model):
    mixture = model.get_layer("moe")
    mixture.dispatch = "gather"
    with pytest.raises(ValueError, match=r"MixtureOfExperts: .*gather"):
        mixture(X)
    mixture.dispatch = "auto"


def test_their_gates_are_collected(model):
    (gates,) = collect_gates(model, X).values()
    np.testing.assert_allclose(gates, formula(model)[0], atol=CLOSE)


def test_they_are_counted(model):
    cost = count_multiply_adds(model)
    gate, expert = WIDTH * EXPERTS, 2 * WIDTH * HIDDEN
    assert cost.total == gate + EXPERTS * (expert + WIDTH)
    assert cost.active == gate + TOP * (expert + WIDTH)


def test_they_have_dense_twins(model):
    active = dense_twin(model)
    cost = count_multiply_adds(model).active
    step = 2 * WIDTH
    assert abs(count_multiply_adds(active).active - cost) <= step
    twin = dense_twin(model, "parameters")
    assert abs(twin.count_params() - model.count_params()) <= step
    assert twin(X).shape == (ROWS, WIDTH)


def test_some_of_their_experts_are_kept(model):
    smaller = keep_experts(model, [0, 2, 3])
    assert smaller.get_layer("moe").num_experts == 3
    np.testing.assert_allclose(
        numpy_of(smaller(X)), formula(model, (0, 2, 3))[1], atol=CLOSE
    )


def test_they_are_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(numpy_of(again(X)), numpy_of(model(X)))


def test_they_are_trained(model):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=True)
    before, after = twin.fit(X, -X, epochs=2, verbose=0).history["loss"]
    assert after < before


@only_tensorflow
@pytest.mark.slow
def test_they_are_exported(model, tmp_path):
    # What is written is compared with the model there.
    from moe_keras.export import export_saved_model

    for dispatch in (None, "dense", "capacity"):
        export_saved_model(model, tmp_path / str(dispatch), dispatch)


class Bare(ExpertBank):
    """A bank that lacks all."""

    row_rank = 1


class BareGate(Gate):
    """A gate that lacks all."""


class BareFusion(Fusion):
    """A fusion that lacks all."""


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: Bare()(X),
            "Bare: the class must implement `build_bank`. It makes every "
            "weight, for rows of `row_shape`.",
        ),
        (
            lambda: BareGate(2)(X),
            "BareGate: the class must implement `gate_rows`. It returns",
        ),
        (
            lambda: BareFusion()([ops.ones((2, 1, 3)), ops.ones((2, 1))]),
            "BareFusion: the class must implement `fuse`. It returns",
        ),
        (Bare().split_bank, "Bare: the class must implement `split_bank`"),
        (
            lambda: Bare().run_expert(None, None),
            "Bare: the class must implement `run_expert`. It runs one expert",
        ),
        (
            lambda: Bare().row_output_shape((3,)),
            "Bare: the class must implement `row_output_shape`. It returns",
        ),
        (
            lambda: Bare().count_expert((3,)),
            "Bare: the class must implement `count_expert`. It returns",
        ),
    ],
)
def test_what_a_class_lacks_is_named(ask, message):
    with pytest.raises(NotImplementedError, match=message):
        ask()


def test_a_bank_without_widths_has_no_twin(kinds):
    class Fixed(kinds[0]):
        """Has no widths."""

        def widths(self):
            return ExpertBank.widths(self)

    model = keras.Sequential(
        [keras.Input((WIDTH,)), MixtureOfExperts(Fixed(2), GatingLayer(2))]
    )
    message = "no widths to scale; .*a method `widths`.*kind='Fixed'"
    with pytest.raises(ValueError, match=message):
        dense_twin(model)


def test_a_gate_without_a_cost_is_told_what_to_add(kinds):
    class Silent(kinds[1]):
        """Does not say what it costs."""

        count_cost = property()

    model = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            MixtureOfExperts(DenseExpert(2, 2), Silent(2)),
        ]
    )
    with pytest.raises(ValueError, match=r"`count_cost\(shapes, load=None\)`"):
        count_multiply_adds(model)
