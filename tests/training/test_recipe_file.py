"""Faults of a recipe's file, with their line."""

import pytest

from moe_keras.training import RecipeError, load_recipe
from tests.training.recipes import SMALL, small


def write(folder, text):
    file = folder / "recipe.yaml"
    file.write_text(text.lstrip())
    return file


def faults_of(folder, text):
    file = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    return [
        line.removeprefix(f"{file}") for line in str(caught.value).splitlines()
    ]


def test_a_folder_will_do(tmp_path):
    recipe = load_recipe(write(tmp_path, SMALL))
    assert load_recipe(tmp_path) == load_recipe(str(tmp_path)) == recipe
    assert recipe.name == "small"
    # As YAML 1.1 has it, 1e-2 would be a text.
    assert recipe.optimizer.learning_rate == 0.01
    assert recipe.builder.arguments == small()["builder"]["arguments"]


def test_each_fault_has_its_line(tmp_path):
    text = SMALL.replace("crop: 1", "crop: -1").replace("top_k", "topk")
    text = text.replace("[3, 5]", "\n- 3\n- five")
    assert faults_of(tmp_path, text) == [
        ":8: builder.arguments.topk: unknown key; did you mean top_k? "
        "Received: topk=2",
        ":12: augmentation.crop: Input should be greater than or equal to 0. "
        "Received: crop=-1",
        ":20: seeds.1: Input should be a valid integer. Received: 1='five'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "learning_rate",
            "learning_rat",
            ":13: optimizer.learning_rat: unknown key; did you mean "
            "learning_rate? Received: learning_rat=0.01",
        ),
        ("epochs: 3\n", "", ": epochs: is missing"),
        ("name: image", "kind: image", ":4: builder.name: is missing"),
        (
            "monitor: val_accuracy",
            "data: {name: iris}",
            ":19: data: is there twice, also in line 3",
        ),
        ("epochs: 3", "epochs: [3", ":17: expected ',' or ']'"),
        ("adamw", "adam", ":13: optimizer: adam takes no weight_decay"),
        ("epochs: 3", "epochs: &a *a", ":16: "),
        ("epochs: 3", "epochs: !!python/object:os.system 3", ":16: could not"),
        ("epochs: 3", "epochs: 2020-13-45", ": month must be in"),
    ],
)
def test_one_fault(tmp_path, old, new, fault):
    assert old in SMALL
    found = faults_of(tmp_path, SMALL.replace(old, new))
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_not_a_mapping(tmp_path, text):
    assert faults_of(tmp_path, text) == [": is not a mapping of keys to values"]


def test_long_values_are_cut(tmp_path):
    text = SMALL.replace("name: small", f"name: {'A' * 500}")
    (fault,) = faults_of(tmp_path, text)
    assert len(fault) < 200


def test_no_such_file(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml: No such file"):
        load_recipe(tmp_path / "none.yaml")


def test_not_a_text(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match="is not a text in UTF-8"):
        load_recipe(tmp_path)
