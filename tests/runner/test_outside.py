"""Models of scikit-learn beside ours: NB-SVM by hand, and what they refuse."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.svm import LinearSVC

from moe_keras.data import Split, load_dataset
from moe_keras.runner import train_recipe
from moe_keras.runner.outside import (
    TEXTS,
    NaiveBayesSVM,
    fit_outside,
)
from moe_keras.runner.outside_tables import TABLES
from moe_keras.training import Recipe, recipe_parts
from tests.training.recipes import small

DATA = load_dataset("synthetic_reviews", size=3_000, test_size=500)


@pytest.mark.parametrize("name", TEXTS)
def test_it_learns_and_gives_probabilities(name):
    predict, weights = fit_outside(name, DATA.train)
    found = predict(DATA.test.inputs)
    assert found.shape == (500, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    right = (found.argmax(axis=1) == DATA.test.labels).mean()
    # The labels are drawn: the rule that made them is right less often than 1.
    rule = DATA.test.probability > 0.5
    best = (rule == DATA.test.labels).mean()
    assert 0.6 < right <= best + 0.05
    assert weights > 50


def test_the_weights_are_those_of_the_formula():
    texts = ["good good film", "bad film", "good", "very bad !"]
    labels = np.array([1, 0, 1, 0])
    counts = CountVectorizer(
        binary=True, token_pattern=r"[\w']+|[!?]"
    ).fit_transform(texts)
    model = NaiveBayesSVM().fit(counts, labels)
    dense = counts.toarray().astype(float)
    one, other = (1 + dense[labels == label].sum(0) for label in (1, 0))
    ratios = np.log((one / one.sum()) / (other / other.sum()))
    machine = LinearSVC(C=1.0, random_state=0).fit(dense * ratios, labels)
    weights = machine.coef_[0]
    mixed = 0.25 * weights + 0.75 * np.abs(weights).mean()
    expected = dense @ (mixed * ratios) + machine.intercept_
    np.testing.assert_allclose(
        model.decision_function(counts), expected, rtol=1e-3, atol=1e-3
    )


def test_only_texts_are_read():
    images = Split(np.zeros((4, 8, 8, 1)), np.arange(4) % 2)
    with pytest.raises(ValueError, match=r"nb_svm reads texts. .*'ndarray'"):
        fit_outside("nb_svm", images)


def test_a_recipe_names_it_shortly_and_does_not_train_it(tmp_path):
    assert recipe_parts.OUTSIDE == {
        "sentiment": tuple(TEXTS),
        "risk": TABLES,
    }
    values = {
        "task": "sentiment",
        "data": {"name": "synthetic_reviews", "options": {"size": 100}},
        "builder": {"name": "sentiment"},
        "augmentation": None,
        "baselines": ["nb_svm"],
    }
    recipe = Recipe.model_validate(small(**values))
    assert recipe.baselines[0].outside == "nb_svm"
    with pytest.raises(ValueError, match="fitted when models are compared"):
        train_recipe(recipe, 3, tmp_path, baseline="nb_svm")
    with pytest.raises(ValueError, match="boosting does not read what this"):
        Recipe.model_validate(small(**{**values, "baselines": ["boosting"]}))
    with pytest.raises(ValueError, match="none can be called as the recipe"):
        Recipe.model_validate(small(**values, name="nb_svm"))
