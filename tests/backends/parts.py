"""Probes of every bank of experts and of every fusion, against the loops."""

import keras
import numpy as np
from keras import ops

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    ExpertBank,
    Fusion,
    ModelExpert,
    RecurrentExpert,
)
from tests import oracles, oracles_blocks
from tests.backends.registry import add, probe
from tests.differences import check_against
from tests.layers import (
    test_conv_expert,
    test_dense_expert,
    test_recurrent_expert,
)
from tests.layers.test_fusion_kinds import KINDS, expected_of
from tests.tools import draw, numpy_of, random_gates, randomize

BANKS, FUSIONS = "Experts", "Fusion"
ROWS, SEQUENCES, IMAGES = (5, 4), (5, 3, 2), (5, 3, 4, 2)


def check_bank(bank, shape, functions_of):
    """All experts on all rows, and the chosen ones on theirs."""
    inputs = draw(*shape)
    bank(inputs)
    randomize(bank)

    def every(rows):
        return oracles.run_bank(rows, functions_of(bank))

    check_against(bank, inputs, every)
    gates = random_gates((shape[0], bank.num_experts))
    trailing = (1,) * (len(every(inputs).shape) - 2)
    chosen = (gates != 0).reshape(*gates.shape, *trailing)
    check_against(bank, inputs, lambda rows: every(rows) * chosen, gates=gates)


def lstm_functions(bank):
    def function(e):
        weights = test_recurrent_expert.expert_weights(bank, e)
        return lambda row: oracles.lstm(row, *weights)

    return [function(e) for e in range(bank.num_experts)]


def model_functions(bank):
    (layer,) = bank.model.layers
    kernel, bias = map(numpy_of, layer.weights)
    return [lambda row: np.tanh(row @ kernel + bias)]


def small_model():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="tanh")]
    )


class ScaleExpert(ExpertBank):
    """A bank of a user's own: f_e(x) = s_e x."""

    row_rank = 1

    def build_bank(self, row_shape):
        self.scale = self.add_weight((self.num_experts,), "ones", name="scale")

    def split_bank(self):
        scale = ops.convert_to_tensor(self.scale)
        return list(ops.unstack(scale, self.num_experts))

    def run_expert(self, expert, rows, mask=None, training=None):
        return expert * rows

    def row_output_shape(self, row_shape):
        return row_shape


def scale_functions(bank):
    return [lambda row, s=s: s * row for s in numpy_of(bank.scale)]


conv_functions = test_conv_expert.functions_of
dense_functions = test_dense_expert.functions_of
gru_functions = test_recurrent_expert.gru_functions
OF_BANKS = {
    "DenseExpert": (
        lambda: DenseExpert(3, 2, activation="tanh"),
        ROWS,
        dense_functions,
    ),
    "DenseExpert with a hidden layer": (
        lambda: DenseExpert(3, 2, 5, activation="gelu"),
        ROWS,
        dense_functions,
    ),
    "DenseExpert, gated": (
        lambda: DenseExpert(3, 2, 5, gated=True, activation="silu"),
        ROWS,
        dense_functions,
    ),
    "ConvExpert": (
        lambda: ConvExpert(
            (3, 2), 2, pool_size=2, pooling="avg", output_units=3
        ),
        IMAGES,
        conv_functions,
    ),
    "ConvExpert, maps": (lambda: ConvExpert(2, 2), IMAGES, conv_functions),
    "RecurrentExpert, GRU": (
        lambda: RecurrentExpert(2, 2, output_units=3),
        SEQUENCES,
        gru_functions,
    ),
    "RecurrentExpert, LSTM": (
        lambda: RecurrentExpert(2, 2, cell="lstm"),
        SEQUENCES,
        lstm_functions,
    ),
    "RecurrentExpert, both ways": (
        lambda: RecurrentExpert(2, 2, bidirectional=True),
        SEQUENCES,
        gru_functions,
    ),
    "ModelExpert": (
        lambda: ModelExpert(small_model()),
        ROWS,
        model_functions,
    ),
    "ModelExpert, frozen": (
        lambda: ModelExpert(small_model(), trainable=False),
        ROWS,
        model_functions,
    ),
    "a user's bank": (lambda: ScaleExpert(3), ROWS, scale_functions),
}


def _add_bank(feature):
    make, shape, functions_of = OF_BANKS[feature]
    add(BANKS, feature, lambda: check_bank(make(), shape, functions_of))


for _feature in OF_BANKS:
    _add_bank(_feature)


class PowerFusion(Fusion):
    """A fusion of a user's own: sum_e g_e^2 f_e(x)."""

    def fuse(self, outputs, gates):
        return ops.sum(ops.expand_dims(gates**2, -1) * outputs, axis=-2)


OF_FUSIONS = {
    "WeightedFusion": "weighted",
    "LogitFusion, linear": "linear",
    "LogitFusion, logarithmic": "log",
    "AttentionFusion": "attention",
    "AttentionFusion, learned query": "learned",
}


def check_fusion(layer, broken=False):
    outputs, gates = draw(5, 3, 4), random_gates((5, 3), share=0.3)
    if broken:
        outputs[1, 2, 0], outputs[3, 0] = np.nan, -np.inf
    layer([outputs, gates])
    randomize(layer)
    check_against(
        layer,
        [outputs, gates],
        lambda parts: expected_of(layer, *parts),
    )


def _add_fusion(feature, kind):
    add(FUSIONS, feature, lambda: check_fusion(KINDS[kind]()))


for _feature, _kind in OF_FUSIONS.items():
    _add_fusion(_feature, _kind)


@probe(FUSIONS, "leaving out experts that failed")
def dropping():
    for kind in KINDS:
        check_fusion(KINDS[kind](drop_non_finite=True), broken=True)


@probe(FUSIONS, "a user's subclass of Fusion")
def own():
    inputs = [draw(5, 3, 4), random_gates((5, 3), share=0.0)]
    check_against(
        PowerFusion(),
        inputs,
        lambda parts: np.stack(
            [
                oracles_blocks.weighted(outputs, gates**2)
                for outputs, gates in zip(*parts, strict=True)
            ]
        ),
    )
