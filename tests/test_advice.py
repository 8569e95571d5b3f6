"""Errors of first steps name the argument, its value and what to do."""

import keras
import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.insight import collect_gates, plot_history
from moe_keras.layers import (
    AugmentedExperts,
    ConvExpert,
    CrossExpert,
    DenseExpert,
    EmbeddedExperts,
    EncodedExperts,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    IsotonicScaling,
    LinearExpert,
    LowRankExpert,
    MixtureOfExperts,
    ModelExpert,
    MoEFeedForward,
    MoETransformerBlock,
    MultiGateMixture,
    RecurrentExpert,
    SoftMoE,
    TemperatureScaling,
    UniformGating,
)
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.schema import infer_schema
from moe_keras.zoo import (
    build_image_moe,
    build_risk_moe,
    build_sentiment_moe,
    dense_twin,
)
from tests.tools import only_tensorflow

X = np.ones((4, 8), "float32")
TABLE = {"x": np.arange(40.0) / 3, "y": [0, 1] * 20}


def refused(make, *parts):
    """The one line of a `ValueError` that holds all the parts."""
    with pytest.raises(ValueError, match="Received: ") as raised:
        make()
    text = str(raised.value)
    assert [part for part in parts if part not in text] == []


LAYERS = {
    "mixture": lambda: MixtureOfExperts(DenseExpert(3, 2), GatingLayer(2)),
    "dense": lambda: DenseExpert(3, 2),
    "conv": lambda: ConvExpert(4, 2),
    "recurrent": lambda: RecurrentExpert(4, 2),
    "linear": lambda: LinearExpert(2, 2),
    "cross": lambda: CrossExpert(2, 2),
    "low rank": lambda: LowRankExpert(2, 2),
    "gate": lambda: GatingLayer(2),
    "groups": lambda: HierarchicalGating(2, 2),
    "choice": lambda: ExpertChoiceGating(2),
    "hash": lambda: HashGating(2),
    "uniform": lambda: UniformGating(2),
    "feed forward": lambda: MoEFeedForward(4, 8),
    "transformer": lambda: MoETransformerBlock(2, 4, 2, 8),
    "soft": lambda: SoftMoE(DenseExpert(8, 2)),
    "temperature": lambda: TemperatureScaling(),
    "isotonic": lambda: IsotonicScaling(),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_one_tensor_is_asked_for_before_keras_builds_the_layer(kind):
    layer = LAYERS[kind]()
    owner = type(layer).__name__ + ": `inputs` must be one tensor: "
    joined = owner + "join several first, as keras.layers.Concatenate does"
    table = "of the columns of a table, TableColumns makes one."
    symbols = {"a": keras.Input((8,)), "b": keras.Input((8,))}
    refused(lambda: layer({"a": X, "b": X}), joined, table, "['a', 'b']")
    refused(lambda: layer(inputs=symbols), joined, table, "['a', 'b']")
    refused(lambda: layer([X, X]), joined, "inputs=[(4, 8), (4, 8)]")
    refused(lambda: layer(None), joined, "inputs=None")
    array = owner + "make an array of it first, with numpy.asarray."
    refused(lambda: layer([[1.0, 2.0]]), array, "inputs='list'")


def dense():
    return keras.layers.Dense(3, name="mine")


BANKS = {
    "mixture": (lambda it: MixtureOfExperts(it, GatingLayer(2)), "DenseExpert"),
    "tasks": (lambda it: MultiGateMixture(it, {"a": GatingLayer(2)}), "Dense"),
    "soft": (lambda it: SoftMoE(it), "DenseExpert"),
    "embedded": (lambda it: EmbeddedExperts(it, 9, 4), "SequenceConvExpert"),
    "encoded": (lambda it: EncodedExperts(it, dense()), "DenseExpert"),
    "augmented": (lambda it: AugmentedExperts(it), "ConvExpert"),
}


@pytest.mark.parametrize("kind", BANKS)
@pytest.mark.parametrize("given", [4, "dense", DenseExpert, None, "layer"])
def test_experts_that_are_no_banks(kind, given):
    make, such_as = BANKS[kind]
    given = dense() if given == "layer" else given
    refused(
        lambda: make(given),
        f"such as {such_as}",
        ", num_experts=4); a model is one as ModelExpert(model), a layer as "
        "ModelExpert(keras.Sequential([layer])).",
        f"experts={given!r}",
    )


def test_plain_layers_become_experts_as_the_error_says():
    refused(
        lambda: MixtureOfExperts([dense(), dense()], GatingLayer(2)),
        "ModelExpert(keras.Sequential([layer]))",
        "Dense name=mine",
    )
    banks = [ModelExpert(keras.Sequential([dense()])) for _ in range(2)]
    assert MixtureOfExperts(banks, GatingLayer(2))(X).shape == (4, 3)


def test_parts_that_are_no_layers():
    bank = DenseExpert(3, 2)
    refused(
        lambda: MixtureOfExperts(bank, 2), "such as GatingLayer(2).", "gate=2"
    )
    refused(
        lambda: MixtureOfExperts(bank, GatingLayer(2), fusion="mean"),
        "such as WeightedFusion(), or None.",
        "fusion='mean'",
    )


def test_a_model_with_several_ends_is_no_expert():
    one, two = (keras.Input((3,), name=name) for name in ("one", "two"))
    joined = keras.layers.Concatenate()([one, two])
    for shown, inputs, outputs in (
        ("inputs=['one', 'two']", [one, two], joined),
        ("inputs=['one', 'two']", {"one": one, "two": two}, joined),
        ("inputs=['one']", one, [one + 1, one + 2]),
    ):
        model = keras.Model(inputs, outputs)
        refused(
            lambda model=model: ModelExpert(model),
            "ModelExpert: `model` must have one input and one output: wrap one",
            shown,
        )


@pytest.mark.parametrize(
    "shape", [28, "28", (28,), (28, 28), (2, 28, 28, 1), np.ones((2, 8, 8, 1))]
)
def test_shapes_of_images(shape):
    shown = f"{shape!r}" if not hasattr(shape, "ndim") else "shape (2, 8, 8, 1)"
    refused(
        lambda: build_image_moe(shape, 3),
        "build_image_moe: `input_shape` must be (H, W, C)",
        "such as (28, 28, 1).",
        shown,
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [("classes", "num_classes"), ("top", "top_k"), ("wieghts", "weights")],
)
def test_a_misspelt_argument_of_a_builder(name, meant):
    refused(
        lambda: build_image_moe((28, 28, 1), **{name: 3}),
        f"there is no argument of this name. Did you mean `{meant}`?",
        f"option={name!r}",
    )


@only_tensorflow
def test_labels_of_more_classes_name_num_classes():
    texts, labels = ["a good film", "a bad film", "a film"] * 6, [0, 1, 2] * 6
    refused(
        lambda: build_sentiment_moe(texts, labels, experts={"ngram": 1}),
        "must be integers in 0..1; of more classes, `num_classes` says how",
        "labels=[0, 1, 2]",
    )


@only_tensorflow
def test_experts_of_the_builders():
    schema = infer_schema(TABLE, "y")
    for build, example in (
        (lambda it: build_image_moe((8, 8, 1), 3, experts=it), "{'conv': 4,"),
        (lambda it: build_sentiment_moe(["a"], experts=it), "{'ngram': 4}"),
        (lambda it: build_risk_moe(schema, TABLE, it), "{'linear': 4}"),
    ):
        refused(lambda build=build: build(4), "`experts`", example, "experts=4")
    refused(
        lambda: build_risk_moe(schema, TABLE, forests=3),
        "`forests` must be a list of fitted classifiers, such as",
        "forests=3",
    )


@pytest.fixture(scope="module")
def model():
    mixture = MixtureOfExperts(DenseExpert(3, 2), GatingLayer(2))
    return keras.Sequential([keras.Input((8,)), mixture])


def test_what_the_helpers_are_given(model):
    mixture = model.layers[0]
    refused(
        lambda: collect_gates(mixture, X), "collect_gates: `model`", "record_ga"
    )
    refused(lambda: count_multiply_adds(model, 8), "`input_shape`", "=8")
    refused(
        lambda: count_multiply_adds(model, expert_load=[1, 1]),
        "by the mixture's name",
        "expert_load=[1, 1]",
    )
    refused(lambda: dense_twin(model, bank=1), "`bank` must be", "bank=1")
    refused(lambda: load_dataset(X), "load_dataset: `name`", "name='ndarray'")


def test_curves_are_drawn_of_what_fit_returns(model):
    model.compile("sgd", "mse", run_eagerly=True)
    fitted = model.fit(X, X[:, :3], epochs=2, verbose=0)
    for given in (fitted, fitted.history, {"model": fitted.history}):
        (line,) = plot_history(given).axes[0].lines
        assert line.get_label() == "model"
        assert line.get_ydata().tolist() == fitted.history["loss"]
    both = plot_history({"a": fitted, "b": fitted.history}).axes[0].lines
    assert [line.get_label() for line in both] == ["a", "b"]
    refused(lambda: plot_history([1]), "what `fit` returned", "='list'")
    refused(lambda: plot_history({"a": [1]}), "name='a'", "found='list'")
