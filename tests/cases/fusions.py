"""Fusions that are put under the contract."""

import numpy as np

from moe_keras.layers import (
    AttentionFusion,
    LogitFusion,
    WeightedFusion,
)
from tests.tools import draw, random_gates

BROKEN = draw(8, 3, 4)  # outputs of experts of which some have failed
BROKEN[2, 1, 3], BROKEN[5, 0, 0], BROKEN[5, 2, :] = np.nan, np.inf, -np.inf

CASES = {
    "fusion": (WeightedFusion, dict, ([draw(8, 3, 4), random_gates((8, 3))],)),
    "fusion_of_two": (
        WeightedFusion,
        dict,
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "fusion_dropping": (
        WeightedFusion,
        lambda: {"drop_non_finite": True},
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
    "fusion_linear_pool": (
        LogitFusion,
        dict,
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "fusion_log_pool": (
        LogitFusion,
        lambda: {"pool": "logarithmic", "drop_non_finite": True},
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
    "fusion_attention": (
        AttentionFusion,
        lambda: {"units": 5},
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "fusion_attention_learned": (
        AttentionFusion,
        lambda: {
            "units": 5,
            "query": "learned",
            "kernel_initializer": "he_normal",
            "drop_non_finite": True,
        },
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
}
