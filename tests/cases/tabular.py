"""The encoding of rows, and experts for them, that are under the contract."""

import keras
import numpy as np

from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    EncodedExperts,
    LinearExpert,
    LowRankExpert,
    TabularEncoding,
)
from tests.tools import draw, random_gates

ROWS = draw(24, 5)
SEQUENCES = draw(8, 6, 5)
GATES = random_gates((24, 3))
POSITION_GATES = random_gates((8, 6, 3))
# Two numbers and a category of 4 levels between them.
TABLE = draw(24, 3)
TABLE[:, 1] = np.arange(24) % 5
TABLE[[2, 5, 7], [0, 1, 2]] = np.nan
LEVELS = [None, 4, None]

CASES = {
    "tabular": (TabularEncoding, lambda: {"levels": LEVELS}, (TABLE,)),
    "tabular_steps": (
        TabularEncoding,
        lambda: {
            "levels": LEVELS,
            "bins": 3,
            "numbers": "steps",
            "columns": [2, 1],
        },
        (TABLE,),
    ),
    "encoded": (
        EncodedExperts,
        lambda: {
            "experts": DenseExpert(2, 2, activation="tanh"),
            "encoding": TabularEncoding(LEVELS, 4),
        },
        (TABLE,),
    ),
    "encoded_kinds": (
        EncodedExperts,
        lambda: {
            "experts": [
                LinearExpert(2, 2),
                DenseExpert(2, hidden_units=3, activation="tanh"),
            ],
            "encoding": TabularEncoding(LEVELS, 4, "steps"),
        },
        (TABLE, GATES),
    ),
    "linear": (
        LinearExpert,
        lambda: {
            "num_experts": 3,
            "signs": [1, 0, -1, 0, 0],
            "kernel_regularizer": keras.regularizers.L2(1e-3),
        },
        (ROWS, GATES),
    ),
    "linear_classes": (
        LinearExpert,
        lambda: {"output_units": 3, "num_experts": 2},
        (SEQUENCES,),
    ),
    "cross": (CrossExpert, lambda: {"output_units": 2}, (ROWS,)),
    "cross_bank": (
        CrossExpert,
        lambda: {
            "output_units": 2,
            "num_experts": 3,
            "num_layers": 3,
            "rank": 2,
            "output_activation": "tanh",
            "dropout": 0.2,
            "kernel_initializer": keras.initializers.HeNormal(seed=2),
            "kernel_regularizer": "l2",
        },
        (SEQUENCES, POSITION_GATES),
    ),
    "low_rank": (
        LowRankExpert,
        lambda: {"output_units": 2, "num_experts": 2, "activation": "tanh"},
        (ROWS,),
    ),
    "low_rank_bank": (
        LowRankExpert,
        lambda: {
            "output_units": 2,
            "num_experts": 3,
            "hidden_units": 6,
            "activation": "tanh",
            "output_activation": "softmax",
            "dropout": 0.2,
            "kernel_initializer": keras.initializers.HeNormal(seed=2),
            "kernel_regularizer": keras.regularizers.L2(1e-3),
        },
        (SEQUENCES, POSITION_GATES),
    ),
}
