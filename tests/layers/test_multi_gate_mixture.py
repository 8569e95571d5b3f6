"""The multi-gate mixture against plain loops over tasks and experts."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MultiGateMixture,
    RecurrentExpert,
    record_gates,
)
from tests import oracles
from tests.differences import check_against, check_differences
from tests.gradients import gradients_of
from tests.layers.test_dense_expert import functions_of
from tests.tools import BACKEND, assert_close, draw, numpy_of, randomize

ROWS = draw(7, 5)
TASKS = ("late", "early")


def make(kind, top_k=None, units=3):
    """MMoE, or a level of PLE with one and two experts of the tasks."""
    experts = [
        DenseExpert(units, 2, 4, activation="tanh"),
        DenseExpert(units, 1),
    ]
    if kind == "mmoe":
        gates = {task: GatingLayer(3, top_k) for task in TASKS}
        return MultiGateMixture(experts, gates)
    own = {
        "early": DenseExpert(units, 2),
        "late": [DenseExpert(units, 1, 4, activation="tanh")],
    }
    gates = {"late": GatingLayer(4, top_k), "early": GatingLayer(5, top_k)}
    shared = GatingLayer(6, top_k) if kind == "ple" else None
    return MultiGateMixture(experts, gates, own, shared)


def built(kind, inputs=ROWS, **options):
    layer = make(kind, **options)
    layer(inputs)
    return randomize(layer)


def owned(layer):
    """The experts of each task and the shared ones, as functions of a row."""
    banks = {**layer.task_experts, "shared": layer.experts}
    return {
        owner: [f for bank in found for f in functions_of(bank)]
        for owner, found in banks.items()
    }


def expected_of(layer, inputs):
    """A loop over tasks, rows and experts."""
    experts, results = owned(layer), {}
    gates = dict(layer.gates)
    if layer.shared_gate is not None:
        gates["shared"] = layer.shared_gate
    for reader, gate in gates.items():
        # Whose experts, in the order of the gate's columns.
        owners = [reader] if reader != "shared" else list(layer.gates)
        owners = [owner for owner in owners if owner in experts]
        columns = [
            (owner, function)
            for owner in (*owners, "shared")
            for function in experts[owner]
        ]
        read = {
            owner: inputs[owner] if isinstance(inputs, dict) else inputs
            for owner in {reader, *owners, "shared"}
        }
        logits = read[reader] @ numpy_of(gate.kernel).astype("float64")
        weights = oracles.softmax_gates(logits, gate.top_k)
        results[reader] = np.stack(
            [
                sum(
                    weights[n, e] * function(read[owner][n])
                    for e, (owner, function) in enumerate(columns)
                )
                for n in range(len(weights))
            ]
        )
    return results


def side_by_side(results):
    return np.concatenate([results[n] for n in sorted(results)], axis=-1)


@pytest.mark.parametrize("top_k", [None, 1, 2])
@pytest.mark.parametrize("kind", ["mmoe", "cgc", "ple"])
@pytest.mark.jax
def test_it_is_the_loop_and_its_slopes(kind, top_k):
    layer = built(kind, top_k=top_k)

    def oracle(rows):
        return side_by_side(expected_of(layer, rows))

    outputs = layer(ROWS)
    assert set(outputs) == {*TASKS, *(["shared"] if kind == "ple" else [])}
    for task, expected in expected_of(layer, ROWS).items():
        assert_close(outputs[task], expected, atol=2e-5)
    # On JAX for long: there the slopes are those of the next test.
    if BACKEND != "jax":
        check_against(Joined(layer), ROWS, oracle)


class Joined(keras.layers.Layer):
    """A layer whose results stand side by side."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.built = True

    def call(self, inputs, training=None):
        outputs = self.layer(inputs, training=training)
        return keras.ops.concatenate(
            [outputs[name] for name in sorted(outputs)], axis=-1
        )


@pytest.mark.parametrize("top_k", [None, 2])
def test_gradient_is_the_finite_difference(top_k, float64):
    inputs = draw(5, 5, dtype="float64")
    layer = built("ple", inputs, top_k=top_k)
    check_differences(Joined(layer), inputs)


def test_levels_read_what_the_one_before_made(tmp_path):
    inputs = keras.Input((5,))
    first = built("ple")
    second = make("cgc")
    outputs = second(first(inputs))
    randomize(second, seed=2)
    expected = expected_of(second, expected_of(first, ROWS))
    model = keras.Model(inputs, outputs)
    for task in TASKS:
        assert_close(model(ROWS)[task], expected[task], atol=2e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for task in TASKS:
        np.testing.assert_array_equal(
            numpy_of(loaded(ROWS)[task]), numpy_of(model(ROWS)[task])
        )
    assert loaded.layers[1].tasks == list(TASKS)


def test_a_tasks_own_experts_learn_from_it_alone():
    layer = built("ple")
    for watched, other in (TASKS, TASKS[::-1]):
        _, gradients, _ = gradients_of(
            layer,
            (ROWS,),
            lambda outputs, task=watched: keras.ops.sum(outputs[task] ** 2),
        )
        found = dict(
            zip(map(id, layer.trainable_variables), gradients, strict=True)
        )

        def moved(part, found=found):
            given = [found[id(v)] for v in part.trainable_variables]
            return any(g is not None and np.any(g != 0) for g in given)

        assert all(map(moved, layer.task_experts[watched]))
        assert moved(layer.gates[watched])
        assert all(map(moved, layer.experts))
        assert not any(map(moved, layer.task_experts[other]))
        assert not moved(layer.gates[other])
        assert not moved(layer.shared_gate)


class Counting(DenseExpert):
    """A bank that notes how many rows its experts were given."""

    seen = ()

    def run_all(self, rows, mask=None, training=None):
        self.seen = (*self.seen, len(rows) * self.num_experts)
        return super().run_all(rows, mask, training)

    def run_groups(self, rows, group_sizes, mask=None, training=None):
        self.seen = (*self.seen, int(numpy_of(group_sizes).sum()))
        return super().run_groups(rows, group_sizes, mask, training)


def counted(top_k):
    bank = Counting(3, 4)
    layer = MultiGateMixture(
        bank, {task: GatingLayer(4, top_k) for task in TASKS}
    )
    layer(ROWS)
    randomize(layer)
    bank.seen = ()
    with record_gates() as record:
        layer(ROWS)
    gates = [numpy_of(one) for one in record.values()]
    return bank.seen, np.logical_or(*(one != 0 for one in gates)), layer


def test_soft_gates_run_each_expert_once_for_all_tasks():
    seen, _, _ = counted(None)
    assert seen == (4 * len(ROWS),)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has static shapes")
def test_sparse_gates_run_the_rows_that_some_task_chose():
    seen, wanted, layer = counted(1)
    assert seen == (wanted.sum(),)
    assert len(ROWS) <= wanted.sum() < 2 * len(ROWS)
    assert layer.supports_jit == (BACKEND != "tensorflow")


def test_a_row_does_not_see_the_others():
    layer = built("ple", top_k=2)
    whole = layer(ROWS)
    for task in TASKS:
        assert_close(layer(ROWS[2:4])[task], numpy_of(whole[task])[2:4])


def test_padding_gets_nothing_and_the_mask_goes_on():
    inputs = draw(3, 4, 5)
    mask = np.arange(4) < np.asarray([[4], [2], [1]])
    layer = make("ple", top_k=2)
    layer(inputs)
    randomize(layer)
    outputs = layer(inputs, mask=mask)
    flat = expected_of(layer, inputs.reshape(-1, 5))
    for reader, expected in flat.items():
        expected = expected.reshape(3, 4, 3) * mask[..., None]
        assert_close(outputs[reader], expected, atol=2e-5)
        # Of the value, not of its first call: Keras hands the mask on.
        np.testing.assert_array_equal(
            numpy_of(outputs[reader]._keras_mask), mask
        )
    second = make("cgc")
    second(outputs)
    randomize(second, seed=3)
    for task in TASKS:
        found = numpy_of(second(outputs)[task])
        assert np.all(found[~mask] == 0)
        assert np.any(found[mask] != 0)
    with pytest.raises(ValueError, match="`mask` must have the axes"):
        layer(inputs, mask=mask[:, :3])


def test_experts_of_whole_samples():
    inputs = draw(3, 4, 5)
    layer = MultiGateMixture(
        [RecurrentExpert(3, 1)], {task: GatingLayer(1) for task in TASKS}
    )
    assert numpy_of(layer(inputs)["late"]).shape == (3, 3)
