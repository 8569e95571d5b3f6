"""KerasHub's Qwen3-MoE block: every expert on every row, SwiGLU."""

import numpy as np

from benchmarks.contestants import CAN_GATE, HIDDEN, WIDTH, draw, mixture

TOP_KS = (2, 8)
NOTE = "runs every expert on every row; same weights, equal outputs"


def make(rows: int, experts: int, top_k: int) -> dict:
    """See `benchmarks.peers`."""
    from keras_hub.src.models.qwen3_moe.qwen3_moe_decoder import (
        Qwen3SparseMoeBlock,
    )

    if not CAN_GATE:
        raise NotImplementedError("needs DenseExpert(gated=True)")
    if rows * experts > 4096 * 32:
        raise NotImplementedError("would hold rows * E * 2H values, > 1 GB")
    theirs = Qwen3SparseMoeBlock(WIDTH, HIDDEN, experts, top_k, True)
    theirs.build((1, rows, WIDTH))
    ours = mixture(rows, experts, top_k, "silu", gated=True, use_bias=False)
    bank, gate = ours.experts[0], ours.gate
    first, second = theirs.expert_bank.weights
    bank.weights[0].assign(first)
    bank.weights[1].assign(second)
    (router,) = theirs._sparse_feedforward_gate_dense.weights
    # Far from ties, so that both choose the same experts.
    router.assign(np.asarray(router) * 3)
    gate.kernel.assign(router)
    x = draw(rows)
    return {
        "layer": theirs,
        "inputs": x[None],
        "ours": ours,
        "gated": True,
        "comparable": True,
    }
