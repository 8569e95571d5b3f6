"""ForestExpert, against trees that are walked node by node in Python."""

import keras
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from moe_keras.forests import ForestTables, pack_forest
from moe_keras.layers import (
    ForestExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.ops.cost import count_multiply_adds
from tests.forests import oracle
from tests.forests.fitted import draw_table, softmax
from tests.layers.drawn_forests import CONFIGS, built, expert_of, oracle_of
from tests.tools import (
    BACKEND,
    assert_close,
    numpy_of,
    only_tensorflow,
    random_gates,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("config", CONFIGS)
def test_values_are_those_of_a_walk(config, seed):
    forest = oracle.draw_forest(**{"seed": seed, **CONFIGS[config]})
    rows = oracle.draw_rows(seed=seed)
    expected = oracle_of(forest, rows)
    assert np.unique(expected[:, 0, 1]).size > 1
    assert_close(expert_of(forest)(rows), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_leaves_only(config):
    """Trees without a split, all of them."""
    forest = oracle.draw_forest(**CONFIGS[config])
    kind = type(forest.trees[0])
    for place, tree in enumerate(forest.trees):
        blank = oracle.Tests.blank(int(kind is oracle.Tree))
        none = [np.full(1, -1)] * 2 if kind is oracle.Tree else []
        forest.trees[place] = kind(blank, *none, tree.values[:1], tree.score)
    rows = oracle.draw_rows()
    assert_close(expert_of(forest)(rows), oracle_of(forest, rows))


def test_some_of_the_columns_are_read():
    forest = oracle.draw_forest(seed=1)
    rows = oracle.draw_rows()
    places = [5, 1, 6, 2]
    wide = np.full((len(rows), 8), 9.0, "float32")
    wide[:, places] = rows
    expert = expert_of(forest, columns=places)
    assert_close(expert(wide), oracle_of(forest, rows))
    everything = expert_of(forest)
    everything(rows)
    read = {places[column] for column in everything.columns_read()}
    assert set(expert.columns_read()) == read


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_gates_clear_what_is_not_chosen(dispatch):
    forest, rows = oracle.draw_forest(), oracle.draw_rows()
    gates = random_gates((len(rows), 1))
    expected = oracle_of(forest, rows) * (gates != 0)[..., None]
    found = expert_of(forest)(rows, gates, dispatch=dispatch)
    assert_close(found, expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_policies_compare_in_float32(policy):
    forest, rows = oracle.draw_forest(), oracle.draw_rows()
    keras.config.set_dtype_policy(policy)
    found = expert_of(forest)(rows)
    found = numpy_of(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(found, oracle_of(forest, rows), rtol=1e-2)


def test_a_mixture_under_a_half_policy_hands_rows_on_as_they_are():
    """1 and 1.001 are one number in bfloat16, and on two sides of a tree."""
    rows = np.array([[1.0], [1.001]] * 20, "float32")
    fitted = RandomForestClassifier(3, bootstrap=False, random_state=0)
    fitted.fit(rows, [0, 1] * 20)
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixture = MixtureOfExperts(
        ForestExpert.from_model(fitted), GatingLayer(1), LogitFusion()
    )
    found = numpy_of(keras.ops.cast(mixture(rows), "float32"))
    np.testing.assert_array_equal(found.argmax(axis=-1), [0, 1] * 20)


@pytest.mark.parametrize("config", ["classes", "symmetric"])
def test_no_row_and_any_number_of_rows(config):
    forest = oracle.draw_forest(**CONFIGS[config])
    rows = keras.Input((4,))
    model = keras.Model(rows, expert_of(forest)(rows))
    for count in (1, 2, 7):
        found = oracle.draw_rows(count)
        expected = oracle_of(forest, found)
        assert_close(model.predict(found, verbose=0), expected)
    none = model(np.zeros((0, 4), "float32"))
    assert tuple(none.shape) == (0, 1, forest.num_classes)


@pytest.mark.parametrize("config", ["classes", "averaged", "symmetric"])
def test_compiled_it_is_the_same(config):
    forest, rows = oracle.draw_forest(**CONFIGS[config]), oracle.draw_rows()
    symbols = keras.Input((4,))
    model = keras.Model(symbols, expert_of(forest)(symbols))
    if BACKEND != "torch":  # a C++ compiler, and minutes
        model.compile(jit_compile=True)
    found = model.predict(rows, verbose=0, batch_size=len(rows))
    assert_close(found, oracle_of(forest, rows))


def test_a_saved_model_is_the_same(tmp_path):
    forest, rows = oracle.draw_forest(seed=1), oracle.draw_rows()
    symbols = keras.Input((4,))
    model = keras.Model(symbols, expert_of(forest)(symbols))
    expected = numpy_of(model(rows))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy_of(loaded(rows)), expected)
    # In the configuration there are sizes, and no array.
    assert len(str(loaded.layers[1].get_config())) < 600


@only_tensorflow
@pytest.mark.parametrize("config", ["classes", "symmetric", "averaged"])
def test_graphs_keep_what_is_missing(config, tmp_path):
    """TensorFlow rewrites comparisons in graphs as if there were no NaN."""
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    forest, rows = oracle.draw_forest(**CONFIGS[config]), oracle.draw_rows()
    symbols = keras.Input((4,), name="rows")
    model = keras.Model(symbols, expert_of(forest)(symbols))
    served = tf.saved_model.load(str(export_saved_model(model, tmp_path / "s")))
    outputs = served.signatures["serving_default"](rows=tf.constant(rows))
    assert_close(numpy_of(outputs["outputs"]), oracle_of(forest, rows))


@only_tensorflow
def test_in_a_mixture_and_a_saved_model(tmp_path):
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    table, labels = draw_table(2, 400, missing=False)
    first, second = (
        RandomForestClassifier(5, random_state=seed).fit(table, labels)
        for seed in (0, 1)
    )
    experts = [ForestExpert.from_model(model) for model in (first, second)]
    mixture = MixtureOfExperts(experts, GatingLayer(2), LogitFusion())
    rows = keras.Input((6,))
    model = keras.Model(rows, mixture(rows))
    gates = numpy_of(mixture.gate(table))
    shares = np.stack([m.predict_proba(table) for m in (first, second)], 1)
    expected = np.sum(gates[..., None] * shares, axis=1)
    found = numpy_of(model(table)).astype("float64")
    assert_close(softmax(found), expected)
    folder = export_saved_model(model, tmp_path / "served")
    served = tf.saved_model.load(str(folder))
    outputs = served.signatures["serving_default"](tf.constant(table))
    assert_close(numpy_of(outputs["outputs"]), numpy_of(model(table)))


def test_a_single_expert_has_the_same_trees():
    forest, rows = oracle.draw_forest(seed=2), oracle.draw_rows()
    expert = expert_of(forest)
    for twin in (expert.single_expert(), built(expert).single_expert(0.5)):
        assert_close(twin(rows), oracle_of(forest, rows))
    assert expert.widths() == {}


def test_a_tree_costs_its_depth():
    forest = oracle.draw_forest()
    rows = keras.Input((4,))
    expert = expert_of(forest)
    cost = count_multiply_adds(keras.Model(rows, expert(rows)))
    assert cost.total == 5 * expert.sizes["depth"] > 5


def test_sizes_alone_make_a_constant():
    forest = oracle.draw_forest()
    expert = ForestExpert(expert_of(forest).get_config()["forest"])
    found = numpy_of(expert(oracle.draw_rows()))
    np.testing.assert_array_equal(found, np.zeros_like(found))


def test_a_forest_may_be_too_large():
    forest = oracle.draw_forest(trees=1)
    tree = forest.trees[0]
    count = 2**29
    huge = np.lib.stride_tricks.as_strided(tree.left, (count,), (0,))
    forest.trees[0] = oracle.Tree(tree.tests, huge, huge, tree.values)
    with pytest.raises(ValueError, match=r"^pack_forest: .*nodes=536870912"):
        pack_forest(forest)


def test_errors_name_the_argument():
    tables = pack_forest(oracle.draw_forest())
    assert isinstance(tables, ForestTables)
    for forest, columns, message in (
        ({"trees": 3}, None, "`forest` must be ForestTables or a dict"),
        (None, None, "Received: forest=None"),
        (tables, [0, 1], "`columns` must be None or the places of 4 columns"),
        (tables, [0, 1, 2, -1], "Received: columns=[0, 1, 2, -1]"),
    ):
        with pytest.raises(ValueError, match=r"^ForestExpert: ") as error:
            ForestExpert(forest, columns)
        assert message in str(error.value)
    message = r"rows \(B, D\) with the forest's 4 columns.*row_shape=\(5,\)"
    with pytest.raises(ValueError, match=message):
        ForestExpert(tables).build((None, 5))
    with pytest.raises(ValueError, match=r"columns=\(0, 1, 2, 7\)"):
        ForestExpert(tables, [0, 1, 2, 7]).build((None, 7))
    with pytest.raises(ValueError, match="`inputs` must be of a float dtype"):
        ForestExpert(tables)(np.ones((3, 4), "int32"))
    with pytest.raises(ValueError, match="the layer must be built"):
        ForestExpert(tables).arrays()
