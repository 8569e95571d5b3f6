"""Whether trees are monotone, beside all that they answer on a grid."""

import itertools

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from moe_keras.forests import pack_forest
from moe_keras.layers import ForestExpert
from tests.forests import oracle
from tests.forests.fitted import CATEGORY, draw_table

GRID = np.float32([-9, -0.5, -0.2, 0.0, 0.2, 0.5, 0.7, 1.0, 9])
LEVELS = np.float32([0, 1, 3, np.nan])


def rises(forest, column, sign):
    """Whether each tree does so, wherever the other columns are."""
    others = [[*GRID[::2], np.nan]] * 3 + [LEVELS]
    others[column] = GRID
    shape = tuple(map(len, others))
    rows = np.asarray(list(itertools.product(*others)))
    for tree in forest.trees:
        values = [oracle.answer(forest, tree, row) for row in rows]
        values = np.asarray(values)
        values = values[:, -1] - (values[:, 0] if values.shape[1] > 1 else 0)
        steps = np.diff(values.reshape(shape), axis=column)
        if np.any(sign * steps < -1e-9):
            return False
    return True


def drawn(seed, **kwargs):
    """One tree, whose zeros are not missing."""
    forest = oracle.draw_forest(seed=seed, trees=1, **kwargs)
    forest.trees[0].tests.zeros[:] = False
    expert = ForestExpert(pack_forest(forest))
    expert.build((None, 4))
    return forest, expert


@pytest.mark.parametrize("kwargs", [{}, {"symmetric": True}, {"averaged": 1}])
def test_what_is_called_monotone_is(kwargs):
    called = set()
    for seed in range(30):
        forest, expert = drawn(seed, **kwargs)
        asked = set(forest.trees[0].tests.columns.tolist())
        for column in set(expert.columns_read()) & {0, 1, 2}:
            assert column in asked
            for sign in (1, -1):
                found = expert.is_monotone(column, sign)
                called.add(found)
                if found:
                    assert rises(forest, column, sign)
    assert called == {True, False}


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_split_that_falls_is_found(symmetric):
    for answers, signs in (([0, 1], (True, False)), ([2, 1], (False, True))):
        forest = oracle.Forest(4, 2, np.zeros(1))
        values = np.asarray(answers, "float64")[:, None]
        tests = oracle.Tests.blank(1 if symmetric else 3)
        tests.columns[0], tests.thresholds[0] = 2, 0.5
        if symmetric:
            tree = oracle.SymmetricTree(tests, values)
        else:
            children = np.asarray([[1, -1, -1], [2, -1, -1]])
            tree = oracle.Tree(tests, *children, np.append([[0]], values, 0))
        forest.trees.append(tree)
        expert = ForestExpert(pack_forest(forest), columns=[7, 0, 5, 1])
        expert.build((None, 8))
        found = tuple(expert.is_monotone(5, sign) for sign in (1, -1))
        assert found == signs
        assert expert.columns_read() == (5,)
        assert expert.monotone_columns(1 if signs[0] else -1) == (5,)
        assert expert.is_monotone(3)


def test_levels_and_missing_zeros_have_no_order():
    forest = oracle.draw_forest(seed=1)
    expert = ForestExpert(pack_forest(forest))
    expert.build((None, 4))
    assert 3 in expert.columns_read()
    assert not expert.is_monotone(3, 1)
    assert not expert.is_monotone(3, -1)
    for seed in range(20):
        forest, expert = drawn(seed)
        found = [c for c in expert.monotone_columns() if c < 3]
        for tree in forest.trees:
            tree.tests.zeros[:] = True
        zeros = ForestExpert(pack_forest(forest))
        zeros.build((None, 4))
        assert not any(map(zeros.is_monotone, found))


def test_constraints_of_scikit_learn_are_found():
    table, labels = draw_table(2)
    signs = [1, -1, 0, 0, 0, 0]
    for given in (signs, None):
        model = HistGradientBoostingClassifier(
            max_iter=10,
            monotonic_cst=given,
            categorical_features=[CATEGORY],
        )
        expert = ForestExpert.from_model(model.fit(table, labels))
        expert.build((None, 6))
        assert expert.is_monotone(0, 1) == (given is not None)
        assert expert.is_monotone(1, -1) == (given is not None)
        assert not expert.is_monotone(0, -1)


def test_only_of_two_classes():
    expert = ForestExpert(pack_forest(oracle.draw_forest(3)))
    expert.build((None, 4))
    with pytest.raises(ValueError, match=r"two classes\. Received: classes=3"):
        expert.is_monotone(0)
    two = ForestExpert(pack_forest(oracle.draw_forest()))
    with pytest.raises(ValueError, match=r"`sign` must be 1 or -1\. Received"):
        two.is_monotone(0, 0)
