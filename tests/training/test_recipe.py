"""What a recipe holds, and what it refuses."""

import pytest
from pydantic import ValidationError

from moe_keras.training import Recipe, load_recipe
from moe_keras.training.builders import merge_arguments
from tests.training.recipes import small

MINIMAL = {
    "name": "tiny",
    "task": "image",
    "data": {"name": "digits"},
    "builder": {"name": "image"},
    "epochs": 1,
}


def errors_of(values):
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(values)
    return [
        (".".join(map(str, error["loc"])), error["msg"])
        for error in caught.value.errors()
    ]


def test_defaults():
    recipe = Recipe.model_validate(MINIMAL)
    assert recipe.optimizer.name == "adam"
    assert recipe.optimizer.learning_rate == 1e-3
    assert recipe.schedule.name == "constant"
    assert recipe.seeds == [0, 1, 2]
    assert recipe.batch_size == 128
    assert recipe.dtype_policy == "float32"
    assert recipe.augmentation is None
    assert recipe.monitor is None


def test_what_is_written_is_read_again(tmp_path):
    recipe = Recipe.model_validate(
        small(
            baselines=[
                "active_twin",
                {"name": "one_each", "arguments": {"top_k": None}},
            ]
        )
    )
    file = tmp_path / "again.yaml"
    file.write_text(recipe.to_yaml())
    assert load_recipe(file) == recipe


def test_every_default_is_written_out():
    text = Recipe.model_validate(MINIMAL).to_yaml()
    for key in (
        "learning_rate: 0.001",
        "label_smoothing: 0.0",
        "monitor: null",
    ):
        assert key in text


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"name": "Tiny net"}, "name", "pattern"),
        ({"task": "audio"}, "task", "'image', 'sentiment' or 'risk'"),
        ({"epochs": 0}, "epochs", "greater than or equal to 1"),
        ({"epochs": 2.0}, "epochs", "valid integer"),
        ({"batch_size": True}, "batch_size", "valid integer"),
        ({"seeds": []}, "seeds", "at least 1"),
        ({"seeds": [1, 1]}, "seeds", "must all be different"),
        ({"seeds": [-1]}, "seeds.0", "greater than or equal to 0"),
        ({"dtype_policy": "int8"}, "dtype_policy", "mixed_bfloat16"),
        ({"data": {"name": ""}}, "data.name", "at least 1"),
        (
            {"data": {"name": "digits", "options": {"data_dir": "."}}},
            "data.options",
            "data_dir cannot be an option",
        ),
        ({"builder": {"name": "sound"}}, "builder.name", "must be one of"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate", "0"),
        (
            {"optimizer": {"learning_rate": float("nan")}},
            "optimizer.learning_rate",
            "finite",
        ),
        (
            {"optimizer": {"clipnorm": float("inf")}},
            "optimizer.clipnorm",
            "finite",
        ),
        ({"optimizer": {"ema": 1.0}}, "optimizer.ema", "less than 1"),
        ({"optimizer": {"name": "adamw"}}, "optimizer", "needs weight_decay"),
        ({"optimizer": {"weight_decay": 0.1}}, "optimizer", "adam takes no"),
        ({"optimizer": {"momentum": 0.9}}, "optimizer", "no momentum"),
        (
            {"optimizer": {"name": "sgd", "nesterov": True}},
            "optimizer",
            "nesterov needs momentum",
        ),
        ({"schedule": {"warmup": 1.0}}, "schedule.warmup", "less than 1"),
        ({"schedule": {"name": "one_cycle"}}, "schedule", "needs warmup"),
        ({"loss": {"label_smoothing": 1}}, "loss.label_smoothing", "less than"),
        ({"augmentation": {"crop": -1}}, "augmentation.crop", "0"),
        ({"monitor": "val_acc"}, "monitor.metric", "val_accuracy"),
        ({"baselines": ["twin"]}, "baselines.0", "active_twin, "),
        (
            {"baselines": ["active_twin", "active_twin"]},
            "baselines",
            "different names",
        ),
        (
            {"baselines": [{"name": "a", "arguments": {"stem_filter": 3}}]},
            "baselines.0.arguments.stem_filter",
            "did you mean stem_filters?",
        ),
        ({"baselines": [{"name": "one"}]}, "baselines.0", "staged: false"),
        (
            {"baselines": [{"name": "one", "staged": False}]},
            "baselines",
            "staged: false is for recipes with stages",
        ),
        (
            {
                "baselines": [
                    {"name": "a", "bank": 1, "arguments": {"top_k": 1}}
                ]
            },
            "baselines.0",
            "bank is for twins",
        ),
        (
            {"stages": [{"name": "a", "loss": "hinge"}]},
            "stages.0.loss",
            "'mixture_likelihood'",
        ),
        (
            {"stages": [{"name": "a", "data": "validation", "patience": 1}]},
            "stages.0",
            "patience needs data: train",
        ),
        ({"stages": [{"epochs": 1}]}, "stages.0.name", "required"),
        ({"calibrate": 1}, "calibrate", "valid boolean"),
        (
            {"task": "sentiment", "augmentation": {"flip": True}},
            "",
            "augmentation is for images",
        ),
    ],
    ids=str,
)
def test_out_of_range(changes, place, message):
    ((found, text),) = errors_of({**MINIMAL, **changes})
    assert found == place
    assert message in text


@pytest.mark.parametrize(
    "part",
    [
        *("data", "builder", "augmentation", "optimizer", "schedule"),
        *("loss", "monitor"),
    ],
)
def test_unknown_keys_are_refused_everywhere(part):
    values = small(monitor={"metric": "val_loss"})
    values[part] = {**values[part], "colour": 1}
    assert (f"{part}.colour", "Extra inputs are not permitted") in errors_of(
        values
    )


@pytest.mark.parametrize(
    ("arguments", "place", "message"),
    [
        ({"topk": 2}, "topk", "did you mean top_k?"),
        ({"top_k": "two"}, "top_k", "valid integer"),
        ({"experts": {"conv": "many"}}, "experts", "valid integer"),
        ({"gate": 3}, "gate", "Layer"),
        ({"num_classes": 3}, "num_classes", "comes from the data"),
        ({"name": "net"}, "name", "comes from the data"),
        ({"variant": "gan"}, "variant", "one of hetero, conv, vit, backbone"),
        ({"variant": "vit", "stem_filters": 3}, "stem_filters", "unknown key"),
        ({"variant": "vit", "patchsize": 3}, "patchsize", "mean patch_size?"),
        ({"variant": "backbone"}, "backbone", "is missing"),
    ],
    ids=str,
)
def test_arguments_are_those_of_the_builder(arguments, place, message):
    builder = {"name": "image", "arguments": arguments}
    ((found, text),) = errors_of({**MINIMAL, "builder": builder})
    assert found == f"builder.arguments.{place}"
    assert message in text


def test_another_variant_starts_from_its_own_defaults():
    recipe = Recipe.model_validate(
        small(
            baselines=[
                {"name": "tokens", "arguments": {"variant": "vit"}},
                {"name": "dry", "arguments": {"dropout": 0.0}},
            ]
        )
    )
    tokens, dry = (
        merge_arguments(recipe.builder.arguments, baseline.arguments)
        for baseline in recipe.baselines
    )
    assert tokens == {"variant": "vit"}
    assert dry == {**recipe.builder.arguments, "dropout": 0.0}


def test_short_forms():
    recipe = Recipe.model_validate(
        {
            **MINIMAL,
            "monitor": "val_loss",
            "baselines": ["active_twin", "parameter_twin"],
        }
    )
    assert recipe.monitor.metric == "val_loss"
    twins = [(one.name, one.twin) for one in recipe.baselines]
    assert twins == [
        ("active_twin", "active"),
        ("parameter_twin", "parameters"),
    ]


def test_seeds_and_baselines_are_not_of_one_training():
    one = Recipe.model_validate(MINIMAL)
    two = Recipe.model_validate(
        {**MINIMAL, "seeds": [9], "baselines": ["active_twin"]}
    )
    three = Recipe.model_validate({**MINIMAL, "epochs": 2})
    assert one.training_facts() == two.training_facts()
    assert one.training_facts() != three.training_facts()
