"""Spaces: flat, whole, and of the models that their recipes build."""

import itertools
import json

import keras
import keras_tuner
import pytest
import yaml

from moe_keras.data import load_dataset
from moe_keras.layers import GatingLayer, MixtureOfExperts, UniformGating
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Budget
from moe_keras.search.hypermodels import HYPERMODELS
from moe_keras.training import load_recipe
from moe_keras.training.builders import build_from_data, check_arguments
from tests.runner.folds import make_recipe
from tests.search.tuning import TINY, tiny_digits

TASKS = ["image", "sentiment", "risk"]


@pytest.fixture(scope="module")
def data():
    return {
        "image": tiny_digits(),
        "sentiment": load_dataset("synthetic_reviews", size=80, test_size=1),
        "risk": load_dataset("breast_cancer"),
    }


def values_of(model, **changes):
    """The first value of each name, but for some."""
    return {**{name: v[0] for name, v in model.space.items()}, **changes}


def mixtures_of(model):
    return [
        layer
        for layer in model._flatten_layers()
        # Not what an expert is made of.
        if isinstance(layer, MixtureOfExperts) and layer.name[:3] == "moe"
    ]


@pytest.mark.parametrize("task", TASKS)
def test_spaces_are_flat(task, data):
    model = HYPERMODELS[task](data[task], max_experts=6)
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    assert [one.name for one in hp.space] == list(model.space)
    assert all(not one.conditions for one in hp.space)
    # The build asks for nothing more.
    model.build(hp)
    assert [one.name for one in hp.space] == list(model.space)


@pytest.mark.parametrize("task", TASKS)
def test_numbers_survive_32_bits(task, data):
    """keras-tuner's messages between processes hold no more."""
    model = HYPERMODELS[task](data[task])
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    there = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    for one in there.space:
        assert tuple(one.values) == model.space[one.name]


@pytest.mark.parametrize("task", ["image", "sentiment"])
def test_every_configuration_fits_the_builder(task, data):
    model = HYPERMODELS[task](data[task], max_experts=6)
    rest = {"balance_loss", "learning_rate", "width", "read_length"}
    names = [name for name in model.space if name not in rest]
    keys = set()
    for point in itertools.product(*(model.space[name] for name in names)):
        values = values_of(model, **dict(zip(names, point, strict=True)))
        arguments = model.arguments(values)
        check_arguments(task, arguments)
        keys.add(json.dumps(arguments, sort_keys=True))
        wanted = arguments["experts"]
        if isinstance(wanted, dict):
            wanted = sum(
                count if isinstance(count, int) else len(count)
                for count in wanted.values()
            )
        assert wanted == values["experts"]
    assert len(keys) > 20


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("image", {"kinds": "conv+recurrent", "experts": 3, "top_k": 2}),
        ("image", {"kinds": "conv", "gate": "uniform", "depth": 3}),
        ("image", {"kinds": "mixed", "gate": "position", "depth": 2}),
        ("sentiment", {"kinds": "ngram+conv", "experts": 3, "top_k": 2}),
        ("sentiment", {"kinds": "attention", "gate": "uniform"}),
    ],
)
def test_the_recipe_builds_the_same_model(task, changes, data, tmp_path):
    model = HYPERMODELS[task](data[task])
    values = values_of(model, **changes, learning_rate=2.0**-8)
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    hp.values = values
    built = model.build(hp)
    (tmp_path / "recipe.yaml").write_text(model.recipe(values).to_yaml())
    recipe = load_recipe(tmp_path)
    builder = recipe.builder
    keras.utils.clear_session(free_memory=False)
    twin = build_from_data(
        builder.name, builder.arguments, data[task], recipe.name
    )
    described, twins = (json.loads(m.to_json()) for m in (built, twin))
    assert described["config"] == twins["config"]
    rate = described["compile_config"]["optimizer"]["config"]["learning_rate"]
    assert rate["config"]["peak"] == 2.0**-8
    assert [w.shape for w in built.weights] == [w.shape for w in twin.weights]
    cost = model.cost(values)
    assert count_multiply_adds(twin).active == cost.multiply_adds
    assert twin.count_params() == cost.parameters
    assert recipe.optimizer.learning_rate == 2.0**-8
    # What is asked for is there: experts, choice, and kind of the gate.
    for mixture in mixtures_of(built):
        router = mixture.gate.find_router()
        assert router.num_experts == values["experts"]
        uniform = values["gate"] == "uniform"
        assert isinstance(router, UniformGating if uniform else GatingLayer)
        wanted = values["experts"] if uniform else values["top_k"] or 99
        assert router.choices == min(wanted, values["experts"])


def test_a_risk_mixture(data):
    model = HYPERMODELS["risk"](data["risk"])
    values = values_of(
        model, kinds="linear+low_rank", experts=4, top_k=2, width=32
    )
    built = model.build_model(values)
    (mixture,) = mixtures_of(built)
    assert mixture.num_experts == 4
    assert mixture.gate.choices == 2
    hidden = {tuple(weight.shape)[-1:] for weight in built.weights}
    assert (32,) in hidden


def test_of_a_recipe_of_tables_what_is_fitted_apart_is_left_out(tmp_path):
    base = make_recipe(tmp_path)
    found = load_dataset(base.data.name, tmp_path, **base.data.options)
    model = HYPERMODELS["risk"](found, base=base)
    recipe = model.recipe(values_of(model, experts=2))
    assert (recipe.folds, recipe.out_of_fold) == (None, None)
    assert "forests" not in recipe.builder.arguments
    assert recipe.optimizer.name == "adamw"
    # Or the winner could not be trained by its own file.
    assert recipe.data == base.data
    with pytest.raises(ValueError, match="must come with a recipe"):
        HYPERMODELS["risk"](found)
    schema = recipe.builder.arguments["schema"]
    assert schema["protected"] == ["age", "home"]
    assert model.build_model(values_of(model, experts=2)).output_shape[-1] == 2


def test_top_1_of_hetero_fuses_features(data):
    model = HYPERMODELS["image"](data["image"])
    arguments = model.arguments(values_of(model, top_k=1, experts=3))
    assert arguments["fusion"] == "features"
    # As many as there are is all of them.
    arguments = model.arguments(values_of(model, top_k=2, experts=2))
    assert "top_k" not in arguments


def test_what_does_not_matter_makes_no_difference(data):
    model = HYPERMODELS["image"](data["image"])
    one = values_of(model, kinds="recurrent", depth=1)
    assert model.key(one) == model.key({**one, "depth": 3})
    assert model.key(one) != model.key({**one, "width": 16})
    assert model.key(one) != model.key({**one, "learning_rate": 2.0**-7})


def test_a_build_above_the_budget(data):
    model = HYPERMODELS["image"](data["image"], Budget(max_parameters=100))
    hp = keras_tuner.HyperParameters()
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="parameters, above 100"
    ):
        model.build(hp)
    assert "above 100" in model.reason_against(values_of(model))


def test_the_rest_is_that_of_the_recipe(data, tmp_path):
    text = """
    name: mine
    task: sentiment
    data: {name: synthetic_reviews, options: {size: 80}}
    builder: {name: sentiment, arguments: {max_length: 70, dropout: 0.1}}
    optimizer: {name: sgd, learning_rate: 0.5, momentum: 0.9}
    epochs: 7
    batch_size: 16
    stages:
      - {name: gate, train: gate, epochs: 2, learning_rate: 0.1}
    """
    (tmp_path / "recipe.yaml").write_text(text)
    base = load_recipe(tmp_path)
    model = HYPERMODELS["sentiment"](data["sentiment"], base=base)
    found = yaml.safe_load(model.recipe(values_of(model)).to_yaml())
    assert found["builder"]["arguments"]["max_length"] == 70
    assert found["optimizer"]["momentum"] == 0.9
    assert (
        found["optimizer"]["learning_rate"] == model.space["learning_rate"][0]
    )
    assert found["data"]["options"] == {"size": 80}
    assert (found["epochs"], found["batch_size"]) == (7, 16)
    assert found["stages"] == []
    assert model.recipe(values_of(model), epochs=2).epochs == 2
    with pytest.raises(ValueError, match="ImageMoEHyperModel: `base` must be"):
        HYPERMODELS["image"](data["image"], base=base)


@pytest.mark.parametrize("most", [1, 0, -2, 2.0, True, None])
def test_fewer_than_two_experts(most, data):
    rule = "ImageMoEHyperModel: `max_experts` must be an integer above 1. Rec"
    with pytest.raises(ValueError, match=rule):
        HYPERMODELS["image"](data["image"], max_experts=most)


def test_numbers_of_experts(data):
    counts = {
        most: HYPERMODELS["image"](data["image"], max_experts=most).space[
            "experts"
        ]
        for most in (2, 5, 16)
    }
    assert counts[2] == (2,)
    assert counts[5] == (2, 3, 4, 5)
    assert counts[16] == (2, 3, 4, 6, 8, 12, 16)


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"kind": ["conv"]}, "`only` must have names among .*only='kind'"),
        ({"kinds": ["x"]}, r"values of 'kinds' among .* kinds=\['x'\]"),
        ({"kinds": []}, r"values of 'kinds' among .* kinds=\[\]"),
        ({"kinds": "conv"}, "values of 'kinds' among .* kinds='conv'"),
    ],
)
def test_a_space_cannot_be_narrowed_like_that(only, message, data):
    with pytest.raises(ValueError, match=message):
        HYPERMODELS["image"](data["image"], only=only)


def test_a_narrowed_space(data):
    model = HYPERMODELS["image"](data["image"], only=TINY)
    assert model.space["kinds"] == ("residual",)
    assert model.space["top_k"] == (1, 2, 4, 0)


@pytest.mark.parametrize("task", TASKS)
def test_data_of_another_task(task, data):
    other = data["image" if task != "image" else "risk"]
    with pytest.raises(ValueError, match="`data` must be of the task"):
        HYPERMODELS[task](other)


@pytest.mark.slow
def test_keras_tuners_own_search_takes_it(data, tmp_path):
    model = HYPERMODELS["image"](data["image"], only=TINY)
    tuner = keras_tuner.RandomSearch(
        model, "val_accuracy", max_trials=2, directory=tmp_path, seed=1
    )
    tuner.search(epochs=1, verbose=0)
    assert len(tuner.get_best_hyperparameters(2)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sentiment", "risk"])
def test_it_trains_and_does_not_train_again(task, data, tmp_path):
    model = HYPERMODELS[task](data[task], epochs=1)
    result = model.train(values_of(model), tmp_path, seed=3)
    assert 0 < result["log_loss"] < 2
    written = (tmp_path / "3" / "model.keras").stat()
    again = model.train(values_of(model), tmp_path, seed=3)
    assert again["log_loss"] == result["log_loss"]
    assert (tmp_path / "3" / "model.keras").stat() == written
