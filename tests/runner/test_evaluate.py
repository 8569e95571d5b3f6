"""Scores of saved models, and what is said of broken ones."""

import keras
import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.insight import classification_scores
from moe_keras.runner import evaluate_run
from moe_keras.runner.evaluate import find_models


def save(path, units=10, shape=(8, 8, 1)):
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs)
    kind = "softmax" if units > 1 else "sigmoid"
    outputs = keras.layers.Dense(units, activation=kind)(x)
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.Model(inputs, outputs).save(path)
    return keras.saving.load_model(path)


def test_a_lone_file_needs_the_name_of_the_data(tmp_path):
    file = tmp_path / "mine.keras"
    model = save(file)
    with pytest.raises(ValueError, match="name the data"):
        evaluate_run(file)
    (found,) = evaluate_run(file, "digits", "validation")
    assert found.file == tmp_path / "mine_evaluation_validation.json"
    rows = load_dataset("digits").validation
    expected = classification_scores(
        rows.labels, model.predict(rows.inputs, verbose=0)
    )
    for name, value in expected.items():
        assert found.result[name] == pytest.approx(value, abs=1e-6)
    assert found.result["seed"] is None
    assert found.result["total_multiply_adds"] == 640


def test_one_output_is_the_probability_of_the_second_class(tmp_path):
    model = save(tmp_path / "model.keras", units=1, shape=(30,))
    (found,) = evaluate_run(tmp_path, "breast_cancer")
    rows = load_dataset("breast_cancer").test
    p = model.predict(rows.inputs, verbose=0)[:, 0].astype("float64")
    accuracy = np.mean((p > 0.5) == rows.labels)
    assert found.result["accuracy"] == pytest.approx(accuracy)


def test_seeds_come_in_their_order(tmp_path):
    for seed in ("10", "9", "100"):
        (tmp_path / seed).mkdir()
        (tmp_path / seed / "model.keras").touch()
    found = [file.parent.name for file in find_models(tmp_path)]
    assert found == ["9", "10", "100"]


@pytest.mark.parametrize(
    ("units", "shape", "message"),
    [
        (3, (8, 8, 1), "probabilities of 10 classes.*None, 3"),
        (1, (8, 8, 1), "probabilities of 10 classes.*None, 1"),
        (10, (28, 28, 1), r"reads inputs \(None, 28, 28, 1\).*\(360, 8, 8, 1"),
        (10, (64,), r"reads inputs \(None, 64\)"),
    ],
)
def test_a_model_that_does_not_fit(tmp_path, units, shape, message):
    save(tmp_path / "model.keras", units, shape)
    with pytest.raises(ValueError, match=message):
        evaluate_run(tmp_path, "digits")


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 cut"])
def test_a_broken_model(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a Keras model"):
        evaluate_run(tmp_path, "digits")


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 3}'])
def test_a_broken_result(tmp_path, text):
    save(tmp_path / "model.keras")
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match=r"result\.json is not"):
        evaluate_run(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no trained model"):
        evaluate_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no trained model"):
        evaluate_run(tmp_path / "model.keras", "digits")


def test_no_such_split(tmp_path):
    with pytest.raises(ValueError, match="Received: split='train'"):
        evaluate_run(tmp_path, "digits", "train")


def test_a_model_that_has_diverged(tmp_path):
    model = save(tmp_path / "model.keras")
    weights = [np.full(w.shape, np.nan) for w in model.get_weights()]
    model.set_weights(weights)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="its training has diverged"):
        evaluate_run(tmp_path, "digits")
