"""Probes of every dispatch, against the loops."""

import keras
import numpy as np

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    RecurrentExpert,
)
from tests import oracles, oracles_gating
from tests.backends.registry import add, probe
from tests.differences import check_against
from tests.layers.test_mixture import built, expected_of, functions_of
from tests.tools import assert_close, draw, numpy_of

GROUP = "Dispatch"
DISPATCHES = ("dense", "sorted", "gather", "capacity")
MASK = np.arange(6).reshape(2, 3) != 4
# E / K: a place for every row.
ROOM = {"capacity_factor": 2.0, "eval_capacity_factor": 2.0}
SIZES = (
    "use dispatch='dense', or banks with a grouped kernel",
    "JAX wants the sizes of the groups when it compiles.",
)


def mixture(inputs, dispatch):
    bank = DenseExpert(3, 4, hidden_units=5, activation="tanh")
    gate = GatingLayer(4, 2)
    return built(inputs, bank, gate, dispatch=dispatch, **ROOM)


def _add_dispatch(dispatch):
    def run():
        inputs = 2 * draw(2, 3, 4)
        moe = mixture(inputs, dispatch)
        check_against(
            moe,
            inputs,
            lambda rows: expected_of(moe, rows, 2, MASK),
            mask=MASK,
        )

    add(GROUP, f"{dispatch}, DenseExpert", run)


for _dispatch in DISPATCHES:
    _add_dispatch(_dispatch)


def _add_kinds(dispatch, refusals=None):
    """Banks of two kinds; as `fit` and `predict` run it."""

    def run():
        images = draw(5, 3, 4, 2)
        banks = [
            ConvExpert(2, 2, pooling="avg", output_units=3),
            RecurrentExpert(2, 2, output_units=3),
        ]
        moe = built(images, banks, GatingLayer(4, 2), dispatch=dispatch, **ROOM)
        model = keras.Sequential([keras.Input(images.shape[1:]), moe])
        assert_close(model.predict(images, verbose=0), expected_of(moe, images))
        check_against(moe, images, lambda images: expected_of(moe, images))

    add(GROUP, f"{dispatch}, banks of every kind", run, refusals)


_add_kinds("dense")
_add_kinds(
    "sorted",
    {"jax": SIZES},
)
_add_kinds("capacity")


@probe(GROUP, "capacity, full buffers")
def full():
    inputs = 2 * draw(6, 4)
    bank = DenseExpert(3, 4, activation="tanh")
    moe = built(
        inputs,
        bank,
        GatingLayer(4, 1),
        dispatch="capacity",
        eval_capacity_factor=0.5,
    )

    def oracle(rows):
        # ceil(0.5 * 6 / 4) = 1 place: the first row that asks has it.
        kernel = numpy_of(moe.gate.kernel)
        gates = oracles.softmax_gates(rows @ kernel, 1)
        for column in gates.T:
            column[np.flatnonzero(column)[1:]] = 0
        assert np.any(np.all(gates == 0, axis=1))
        return oracles.mixture(rows, gates, functions_of(moe))

    check_against(moe, inputs, oracle)


@probe(GROUP, "expert_mask at call time")
def expert_mask():
    inputs = 2 * draw(6, 4)
    in_service = np.asarray([True, False, True, True])
    for dispatch in DISPATCHES:
        moe = mixture(inputs, dispatch)

        def oracle(rows, moe=moe):
            logits = rows @ numpy_of(moe.gate.kernel)
            gates = oracles_gating.gates(logits, in_service, top_k=2)
            return oracles.mixture(rows, gates, functions_of(moe))

        check_against(moe, inputs, oracle, expert_mask=in_service)
