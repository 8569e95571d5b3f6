"""Layers with some of their experts: what the whole layer says of these."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    ExpertBank,
    Gate,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    MixtureOfExperts,
    UniformGating,
)
from tests.cases import CASES
from tests.tools import assert_close, draw, learn_inputs, numpy_of, randomize


def cases(kind):
    return [
        case for case, (found, *_) in CASES.items() if issubclass(found, kind)
    ]


GATES = [case for case in cases(Gate) if CASES[case][0] is not HashGating]


def built(case):
    """The layer with weights that all matter, and one tensor of inputs."""
    layer_class, make_kwargs, (inputs, *_) = CASES[case]
    layer = layer_class(**make_kwargs())
    layer(inputs)
    return randomize(learn_inputs(layer, inputs)), inputs


def kept_of(layer, indices, inputs):
    """The smaller layer, built on the same inputs, with its weights."""
    kept = layer.keep(indices)
    kept(inputs)
    kept.copy_kept(layer, sorted(indices))
    return kept


def choices(num_experts):
    """One expert, and all but the first of several."""
    yield [num_experts - 1]
    if num_experts > 1:
        yield list(range(1, num_experts))


@pytest.mark.parametrize("case", cases(ExpertBank))
def test_a_bank_returns_what_its_experts_returned(case):
    layer, inputs = built(case)
    outputs = numpy_of(layer(inputs))
    row_rank = layer.row_rank or inputs.ndim - 1
    axis = inputs.ndim - min(row_rank, inputs.ndim - 1)
    for indices in choices(layer.num_experts):
        kept = kept_of(layer, indices, inputs)
        assert kept.num_experts == len(indices)
        expected = np.take(outputs, indices, axis=axis)
        assert_close(kept(inputs), expected)
        assert kept.count_params() == layer.count_kept(indices)
        if len(indices) < layer.num_experts:
            assert kept.count_params() < layer.count_params()


@pytest.mark.parametrize("case", GATES)
def test_a_gate_gates_as_with_a_mask(case):
    layer, inputs = built(case)
    count = layer.num_experts
    wanted = choices(count)
    if isinstance(layer, HierarchicalGating):
        size = layer.experts_per_group
        wanted = [[count - 1], list(range(count - size, count))]
    for indices in wanted:
        kept = kept_of(layer, indices, inputs)
        mask = np.isin(np.arange(count), indices)
        expected = numpy_of(layer(inputs, expert_mask=mask))[..., indices]
        assert_close(kept(inputs), expected)
        assert kept.count_params() == layer.count_kept(indices)
        assert kept.choices <= len(indices)


def test_experts_keep_their_order_and_all_may_stay():
    layer, inputs = built("dense_bank")
    kept = kept_of(layer, [2, 0], inputs)
    assert_close(kept(inputs), numpy_of(layer(inputs))[:, :, [0, 2]])
    same = kept_of(layer, [0, 1, 2], inputs)
    assert_close(same(inputs), numpy_of(layer(inputs)))


@pytest.mark.parametrize("units", [2, 3, 4])
def test_other_axes_as_long_as_there_are_experts_are_left(units):
    rows = draw(5, 4)
    gate = GatingLayer(4, 2, scores="cosine", score_units=units, noisy=True)
    gate(rows)
    randomize(gate)
    mask = np.asarray([False, True, True, False])
    expected = numpy_of(gate(rows, expert_mask=mask))[:, 1:3]
    assert_close(kept_of(gate, [1, 2], rows)(rows), expected)


def test_options_that_need_a_choice_go_with_it():
    gate = GatingLayer(4, 2, noisy=True, load_loss=0.1, order="top_k_softmax")
    two, one = gate.keep([0, 3]), gate.keep([3])
    assert (two.top_k, two.load_loss, two.order) == (2, 0.0, "top_k_softmax")
    assert (one.top_k, one.order) == (1, "softmax_top_k")
    assert gate.keep([0, 1, 2]).load_loss == 0.1


def test_groups_that_lose_as_many_experts_as_others():
    rows, gate = draw(7, 5), HierarchicalGating(3, 3, 2, 2)
    gate(rows)
    randomize(gate)
    indices = [0, 2, 7, 8]
    kept = kept_of(gate, indices, rows)
    assert (kept.groups, kept.experts_per_group) == (2, 2)
    mask = np.isin(np.arange(9), indices)
    expected = numpy_of(gate(rows, expert_mask=mask))[:, indices]
    assert_close(kept(rows), expected)


def test_what_cannot_lose_an_expert_says_so():
    with pytest.raises(ValueError, match="all groups that are kept must keep"):
        HierarchicalGating(2, 3).keep([0, 1, 3])
    with pytest.raises(ValueError, match="HashGating: a hash cannot"):
        HashGating(4).keep([0, 1])
    with pytest.raises(ValueError, match="must have a weight above 0"):
        UniformGating(3, [0.0, 1.0, 0.0]).keep([0, 2])


class _OwnGate(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.softmax(inputs[..., :3])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


def test_a_gate_of_the_users_own_is_refused():
    mixture = MixtureOfExperts(DenseExpert(2, 3), _OwnGate())
    mixture(draw(4, 5))
    with pytest.raises(ValueError, match="the gate must be a Gate"):
        mixture.keep([0, 1])


class _Crossed(DenseExpert):
    """With a weight that follows the number of experts in its own way."""

    def build_bank(self, row_shape):
        super().build_bank(row_shape)
        self.extra = self.add_weight((2, self.num_experts), name="extra")


def test_a_weight_with_experts_elsewhere_is_refused():
    layer = _Crossed(2, 3)
    layer(draw(4, 5))
    with pytest.raises(ValueError, match="a weight does not follow"):
        kept_of(layer, [0], draw(4, 5))


@pytest.mark.parametrize(
    ("indices", "rule"),
    [
        ([], "at least one expert"),
        ([0, 0], "no expert twice"),
        ([3], r"integers in 0\.\.2\. Received: indices=\[3\]"),
        ([-1], "integers in"),
        ([True], "integers in"),
        ([0.5], "integers in"),
        (1, "at least one expert"),
    ],
)
def test_bad_indices(indices, rule):
    with pytest.raises(ValueError, match=rule):
        DenseExpert(2, 3).keep(indices)
