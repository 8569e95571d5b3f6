"""The demo, cut short: every file, one truth in all of them."""

import io
import json

import keras
import numpy as np
import pytest
from rich.console import Console

from moe_keras.data import load_digits
from moe_keras.demo import run, run_demo
from moe_keras.demo.contest import CONTESTANTS
from moe_keras.insight import classification_scores
from moe_keras.ops.cost import count_multiply_adds

TWO = pytest.param((0, 1), marks=pytest.mark.slow, id="two seeds")


@pytest.fixture(scope="module", params=[pytest.param((0,), id="a seed"), TWO])
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    console = Console(record=True, width=80, file=io.StringIO())
    results = run_demo(folder, seeds=request.param, epochs=1, console=console)
    return folder, results, console.export_text()


def test_it_leaves_every_file(finished):
    folder, _, _ = finished
    assert {path.name for path in folder.iterdir()} == {
        "model.keras",
        "saved_model",
        "training_curves.png",
        "experts_by_class.png",
        "results.json",
        "report.md",
    }
    for name in ("training_curves.png", "experts_by_class.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_results_are_those_of_the_saved_model(finished):
    folder, results, _ = finished
    rows = json.loads((folder / "results.json").read_text())
    seeds = len(results) // 4
    assert [row["contestant"] for row in rows] == [*CONTESTANTS] * seeds
    assert [row["seed"] for row in rows] == [0] * 4 + [1] * 4 * (seeds - 1)
    model = keras.saving.load_model(folder / "model.keras")
    test = load_digits().test
    scores = classification_scores(
        test.labels, model.predict(test.inputs, verbose=0)
    )
    for name, value in scores.items():
        assert rows[1][name] == pytest.approx(value, abs=1e-6)
    assert rows[1]["parameters"] == model.count_params()
    assert rows[1]["active_multiply_adds"] == count_multiply_adds(model).active


def test_the_report_and_the_terminal_say_the_same(finished):
    folder, results, printed = finished
    report = (folder / "report.md").read_text()
    mixtures = [r for r in results if r.contestant == "mixture"]
    accuracies = [100 * r.scores["accuracy"] for r in mixtures]
    mean = np.mean(accuracies)
    assert f"{mean:.2f}" in printed
    if len(accuracies) > 1:
        sd = np.std(accuracies, ddof=1)
        assert f"{mean:.2f} ± {sd:.2f}" in report
        assert f"± {sd:.2f}" in printed
    assert "…" not in printed
    assert "largest difference over 360 test images" in printed
    for contestant in CONTESTANTS:
        assert f"| {contestant} |" in report


def test_twins_see_the_same_training(finished):
    _, results, _ = finished
    mixture, sparse, active, parameters = results[:4]
    assert active.active_multiply_adds == pytest.approx(
        mixture.active_multiply_adds, rel=0.01
    )
    assert sparse.active_multiply_adds == pytest.approx(
        mixture.active_multiply_adds, rel=0.01
    )
    assert parameters.parameters == pytest.approx(mixture.parameters, rel=0.01)
    assert len({len(result.history["loss"]) for result in results}) == 1


def test_an_export_that_differs_fails_the_demo(finished, monkeypatch, tmp_path):
    _, results, _ = finished
    monkeypatch.setattr(run, "export_saved_model", lambda model, path: path)
    wrong = np.full((2, 10), 0.1)
    monkeypatch.setattr(
        run,
        "predict_without_keras",
        lambda path, inputs: {"outputs": wrong, "explained": wrong},
    )
    inputs = load_digits().test.inputs[:2]
    with pytest.raises(RuntimeError, match="differ from Keras' by"):
        run._prove_export(results[0].model, tmp_path, inputs)


def test_another_backend_is_refused_before_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        run_demo(tmp_path)
