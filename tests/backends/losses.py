"""Probes of every auxiliary loss, against counting."""

import numpy as np

from moe_keras.layers import GatingLayer, HierarchicalGating
from tests import oracles, oracles_gating
from tests.backends.gates import MASK, QUIET, SEED, draws_of, noisy_logits
from tests.backends.registry import add, probe
from tests.differences import check_against
from tests.layers.test_gating_options import logits_of
from tests.tools import draw, randomize, weights_by_name

GROUP = "Losses"


def shares_of(logits):
    return np.stack([oracles_gating.shares_of(row) for row in logits])


# Argument -> from logits `(N, E)`, float64, to the loss; K is 2.
LOSSES = {
    "balance_loss": lambda logits: oracles.switch_balance(logits, 2, MASK),
    "z_loss": lambda logits: oracles.z_loss(logits, MASK),
    "importance_loss": lambda logits: oracles.importance(
        oracles_gating.gates(logits, top_k=2), MASK
    ),
    "entropy_loss": lambda logits: oracles_gating.entropy_loss(
        shares_of(logits), MASK
    ),
    "mutual_information_loss": lambda logits: (
        -oracles.mutual_information(shares_of(logits), MASK)
    ),
}


def _add_loss(argument, loss):
    def run():
        inputs = 2 * draw(7, 4)
        layer = GatingLayer(5, 2, **{**QUIET, argument: 0.5})
        layer.build(inputs.shape)
        randomize(layer)
        check_against(
            layer,
            inputs,
            lambda rows: 0.5 * loss(logits_of(layer, rows)),
            training=True,
            of_losses=True,
            mask=MASK,
        )

    add(GROUP, argument.replace("_", " "), run)


for _argument, _loss in LOSSES.items():
    _add_loss(_argument, _loss)


@probe(GROUP, "load loss")
def load_loss():
    inputs = 2 * draw(7, 4)
    layer = GatingLayer(5, 2, noisy=True, seed=SEED, load_loss=0.5, **QUIET)
    layer.build(inputs.shape)
    randomize(layer)
    normal = draws_of((7, 5), normal=True).astype("float64")

    def oracle(rows):
        noisy, scale = noisy_logits(layer, rows, normal)
        odds = oracles_gating.top_k_probability(
            logits_of(layer, rows), noisy, scale, 2
        )
        return 0.5 * oracles_gating.load_loss(odds, MASK)

    check_against(
        layer, inputs, oracle, training=True, of_losses=True, mask=MASK
    )


@probe(GROUP, "losses of the hierarchical gate")
def hierarchical():
    inputs = 2 * draw(7, 4)
    layer = HierarchicalGating(3, 2, 2, 1, balance_loss=0.5, z_loss=0.25)
    layer.build(inputs.shape)
    randomize(layer)

    def oracle(rows):
        weights = weights_by_name(layer)
        outer = rows @ weights["group_kernel"]
        inner = (rows @ weights["kernel"]).reshape(-1, 3, 2)
        shares = oracles_gating.hierarchical(outer, inner)
        chosen = oracles_gating.hierarchical(outer, inner, 2, 1) > 0
        switch = oracles_gating.switch_balance(shares, chosen, MASK)
        within = oracles.z_loss(inner.reshape(-1, 2), np.repeat(MASK, 3))
        return 0.5 * switch + 0.25 * (oracles.z_loss(outer, MASK) + within)

    check_against(
        layer, inputs, oracle, training=True, of_losses=True, mask=MASK
    )
