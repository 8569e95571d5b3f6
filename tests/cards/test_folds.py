"""A cross-validation from its runs to a card."""

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from scipy.special import log_softmax, softmax

from moe_keras.cards import compare_recipe, judging, publish_recipe, zoo_table
from moe_keras.cards.groups import bands
from moe_keras.cards.tables import comparison_table
from moe_keras.insight import paired_folds, risk_scores
from moe_keras.runner import train_recipe
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.files import OPINIONS, read_arrays, read_model
from moe_keras.training import Recipe
from moe_keras.training.calibrate import best_temperature
from moe_keras.training.gate_fit import predict_experts
from moe_keras.zoo import from_preset
from tests.runner.folds import TREES, make_recipe, make_table
from tests.tools import only_tensorflow

pytestmark = only_tensorflow
BASELINES = [
    {"name": "one_tree", "arguments": {"forests": TREES[:1]}},
    {"name": "trees_alone", "recombine": "forest_0"},
    {"name": "both", "recombine": ["forest_0", "forest_1"]},
    {"name": "stacking", "recombine": "stacking"},
    {"name": "untrained", "arguments": {"forests": TREES[1:]}},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loans")
    recipe = make_recipe(folder, baselines=BASELINES)
    runs = [(seed, None) for seed in recipe.seeds] + [(0, "one_tree")]
    for seed, baseline in runs:
        train_recipe(
            recipe,
            seed,
            folder / "runs",
            folder,
            console=Console(quiet=True),
            baseline=baseline,
        )
    return folder, recipe


@pytest.fixture(scope="module")
def compared(trained):
    folder, recipe = trained
    return compare_recipe(recipe, folder / "runs", "test", folder)


def test_each_fold_is_judged_on_its_own_rows(trained, compared):
    folder, recipe = trained
    names = [recipe.name, "one_tree", "trees_alone", "both", "stacking"]
    assert compared.contestants() == names
    whole = load_data(recipe, folder)
    for row, one in zip(compared.rows, compared.judged, strict=True):
        rows = data_at(recipe, whole, row["seed"]).test
        np.testing.assert_array_equal(one.rows.labels, rows.labels)
        found = risk_scores(rows.labels, one.probabilities)
        assert {key: row[key] for key in found} == pytest.approx(found)


def test_experts_alone_have_the_temperature_of_what_they_said_out_of_fold(
    trained, compared
):
    folder, _ = trained
    (one,) = (
        judged
        for judged in compared.judged
        if (judged.contestant, judged.seed) == ("trees_alone", 1)
    )
    kept = read_arrays(folder / "runs" / "1" / OPINIONS)
    model = read_model(folder / "runs" / "1" / "model.keras")
    said = predict_experts(model, one.rows.inputs)[:, 0].astype("float64")
    temperature = best_temperature(
        log_softmax(kept["expert_logits"][:, 0].astype("float64"), axis=-1),
        kept["labels"],
        np.ones(len(kept["labels"])),
    )
    np.testing.assert_allclose(
        one.probabilities,
        softmax(log_softmax(said, axis=-1) / temperature, axis=-1),
        atol=1e-6,
    )


def test_rivals_are_paired_by_fold(compared):
    own = compared.scores("loans", "auc")
    trees = compared.scores("trees_alone", "auc")
    assert compared.differences["trees_alone"] == paired_folds(own, trees, 3)
    # One fold says nothing of chance.
    alone = compared.differences["one_tree"]
    (twin,) = compared.scores("one_tree", "auc")
    assert alone.mean == pytest.approx(own[0] - twin)
    assert np.isnan(alone.p_value)
    shown = comparison_table(compared)
    assert "AUC" in [column.header for column in shown.columns]
    console = Console(width=200, file=io.StringIO())
    console.print(shown)
    text = console.file.getvalue()
    assert ", one fold" in text
    assert "nan" not in text


def test_the_corrected_test_beside_its_formula():
    ours, theirs = [0.80, 0.78, 0.79, 0.81], [0.79, 0.78, 0.76, 0.79]
    found = paired_folds(ours, theirs, 4)
    gaps = np.subtract(ours, theirs)
    error = np.sqrt((1 / 4 + (1 / 4) / (3 / 4)) * gaps.var(ddof=1))
    p_value = 2 * (1 - stats.t(3).cdf(gaps.mean() / error))
    assert found == pytest.approx((gaps.mean(), gaps.std(ddof=1), 4, p_value))
    assert paired_folds([0.5, 0.6], [0.5, 0.6], 2).p_value == 1
    with pytest.raises(ValueError, match="ours=1, theirs=2"):
        paired_folds([0.5], [0.5, 0.6], 2)


def test_others_are_fitted_to_the_rows_that_were_not_held_out(
    trained, monkeypatch
):
    folder, recipe = trained
    rows = []

    def fit(name, split):
        rows.append(split)
        return lambda inputs: np.full((len(inputs["age"]), 2), 0.5), None

    monkeypatch.setattr(judging, "fit_outside", fit)
    rival = [{"name": "others", "outside": "random_forest"}]
    wider = Recipe.model_validate(
        {**recipe.model_dump(mode="json"), "baselines": rival}
    )
    found = compare_recipe(wider, folder / "runs", "test", folder)
    assert len(found.of("others")) == 3
    whole = load_data(recipe, folder)
    for seed, given in enumerate(rows):
        train = data_at(recipe, whole, seed).train
        np.testing.assert_array_equal(given.labels, train.labels)
        np.testing.assert_array_equal(given.inputs["age"], train.inputs["age"])


def test_there_is_no_validation_split(trained):
    folder, recipe = trained
    with pytest.raises(ValueError, match="Received: split='validation'"):
        compare_recipe(recipe, folder / "runs", "validation", folder)


def test_the_card(trained, compared):
    folder, recipe = trained
    preset = folder / "zoo" / "risk" / recipe.name
    preset.mkdir(parents=True)
    (preset / "recipe.yaml").write_text(recipe.to_yaml())
    results = publish_recipe(recipe, preset, folder / "runs", folder)
    own = [row["auc"] for row in results["validation"]][:3]
    seed = results["shipped"]["seed"]
    assert seed == int(np.argmax(own))
    rows = data_at(recipe, load_data(recipe, folder), seed).test
    said = from_preset(str(preset)).predict(rows.inputs, verbose=0)
    assert results["shipped"]["auc"] == pytest.approx(
        risk_scores(rows.labels, said)["auc"]
    )
    assert results["rows_per_second"] > 0
    # All rows are in a group of each attribute, once.
    for attribute in ("age", "home"):
        lines = [g for g in results["groups"] if g["attribute"] == attribute]
        assert sum(line["rows"] for line in lines) == 240
    homes = [g["approval_rate"] * g["rows"] for g in lines]
    assert sum(homes) == pytest.approx(0.8 * 240, abs=1)
    assert results["differences"]["one_tree"]["p_value"] is None
    text = (preset / "card.md").read_text()
    assert "of AUC, in one fold." in text
    mean = np.mean(compared.scores("loans", "auc"))
    for part in (f"| {mean:.4f} ±", "| AUC |", "20 to 29", "P(bad)"):
        assert part in text
    assert f"AUC {mean:.4f} ±" in zoo_table(folder / "zoo")


def test_bands():
    ages = np.array([20.0, 29, 30, np.nan, *range(40, 50)])
    assert bands(ages).tolist() == [
        *("20 to 29", "20 to 29", "30 to 39", "missing"),
        *["40 to 49"] * 10,
    ]
    assert bands(np.array([1.0, 2, 1])).tolist() == ["1", "2", "1"]
    homes = np.array(["own", "", "rent"], dtype=object)
    assert bands(homes).tolist() == ["own", "missing", "rent"]


def test_runs_of_another_recipe_or_other_rows_are_refused(trained, tmp_path):
    folder, recipe = trained
    other = recipe.model_copy(update={"epochs": 3})
    with pytest.raises(ValueError, match=r"another training.*'recipe\.epochs'"):
        compare_recipe(other, folder / "runs", "test", folder)
    frame = make_table()
    frame.loc[3, "age"] += 1
    frame.to_csv(tmp_path / "loans.csv", index=False)
    with pytest.raises(ValueError, match=r"different=\['data\.train'"):
        compare_recipe(recipe, folder / "runs", "test", tmp_path)
    # What a rival is, counts for its own runs.
    changed = [{**BASELINES[0], "arguments": {"forests": TREES[1:]}}]
    values = {**recipe.model_dump(mode="json"), "baselines": changed}
    with pytest.raises(ValueError, match=r"'baseline\.arguments\.forests'"):
        compare_recipe(
            Recipe.model_validate(values), folder / "runs", "test", folder
        )


def test_the_same_rows_elsewhere_are_the_same(trained, tmp_path):
    folder, recipe = trained
    make_table().to_csv(tmp_path / "moved.csv", index=False)
    data = recipe.data.model_copy(update={"name": "csv:moved.csv"})
    other = recipe.model_copy(update={"data": data, "baselines": []})
    found = compare_recipe(other, folder / "runs", "test", tmp_path)
    assert len(found.rows) == 3
