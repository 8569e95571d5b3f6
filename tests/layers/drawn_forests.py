"""Forests drawn at random: as experts, and walked row by row."""

import numpy as np

from moe_keras.forests import pack_forest
from moe_keras.layers import ForestExpert
from tests.forests import oracle

CONFIGS = {
    "binary": {},
    "classes": {"classes": 3, "trees": 7},
    "averaged": {"averaged": True},
    "averaged_classes": {"averaged": True, "classes": 3},
    "symmetric": {"symmetric": True},
    "symmetric_classes": {"symmetric": True, "classes": 3, "trees": 8},
    "symmetric_averaged": {"symmetric": True, "averaged": True, "classes": 3},
    "one_tree": {"trees": 1, "seed": 4},
}


def expert_of(forest, **kwargs):
    return ForestExpert(pack_forest(forest), **kwargs)


def oracle_of(forest, rows):
    return np.stack([oracle.logits(forest, row) for row in rows])[:, None]


def built(expert):
    expert.build((None, 4))
    return expert
