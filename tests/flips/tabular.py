"""Arguments of the encoding of rows, and of the experts for them."""

import numpy as np

from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    EncodedExperts,
    LinearExpert,
    LowRankExpert,
    TabularEncoding,
)
from tests.flips.observe import flips
from tests.tools import draw

TABLE = draw(8, 3)
TABLE[:, 1] = np.arange(8) % 4

FLIPS = {
    TabularEncoding: (
        TABLE,
        flips(
            {"levels": [None, 4, None], "bins": 4},
            {
                "levels": [None, 5, None],
                "bins": 5,
                "numbers": "steps",
                "columns": [0, 1],
            },
        ),
    ),
    EncodedExperts: (
        TABLE,
        flips(
            {
                "experts": lambda: DenseExpert(3),
                "encoding": lambda: TabularEncoding([None, 4, None], 4),
            },
            {
                "experts": lambda: DenseExpert(3, activation="tanh"),
                "encoding": lambda: TabularEncoding([None, 4, None], 3),
            },
        ),
    ),
    LinearExpert: (
        draw(4, 3),
        flips(
            {"num_experts": 2, "signs": [1, -1, 0]},
            {
                "output_units": 1,
                "num_experts": 3,
                "signs": [1, 1, 0],
                "initial": 0.5,
                "kernel_regularizer": "l2",
            },
        ),
    ),
    CrossExpert: (
        draw(4, 5),
        flips(
            {"output_units": 3, "num_experts": 2},
            {
                "output_units": 4,
                "num_experts": 3,
                "num_layers": 1,
                "rank": 2,
                "output_activation": "tanh",
                "dropout": 0.5,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
        ),
    ),
    LowRankExpert: (
        draw(4, 5),
        flips(
            {"output_units": 3, "num_experts": 2, "hidden_units": 6},
            {
                "output_units": 4,
                "num_experts": 3,
                "hidden_units": (6, 6),
                "activation": "tanh",
                "output_activation": "tanh",
                "dropout": 0.5,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
        ),
    ),
}
