"""Hugging Face transformers' Mixtral block: a loop over the experts."""

import numpy as np

from benchmarks.contestants import CAN_GATE, HIDDEN, WIDTH, draw, mixture

TOP_KS = (2, 8)
NOTE = "loop over the experts that have rows; same weights, equal outputs"


def make(rows: int, experts: int, top_k: int) -> dict:
    """See `benchmarks.peers`."""
    import torch
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import (
        MixtralSparseMoeBlock,
    )

    if not CAN_GATE:
        raise NotImplementedError("needs DenseExpert(gated=True)")
    theirs = MixtralSparseMoeBlock(
        MixtralConfig(
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            num_local_experts=experts,
            num_experts_per_tok=top_k,
        )
    ).eval()
    ours = mixture(rows, experts, top_k, "silu", gated=True, use_bias=False)
    random = np.random.default_rng(1)
    first, second = (
        random.standard_normal(shape, dtype="float32") / shape[1] ** 0.5
        for shape in (
            (experts, WIDTH, 2 * HIDDEN),
            (experts, HIDDEN, WIDTH),
        )
    )
    router = random.standard_normal((WIDTH, experts), dtype="float32") / 8
    bank = ours.experts[0]
    bank.weights[0].assign(first)
    bank.weights[1].assign(second)
    ours.gate.kernel.assign(router)
    with torch.no_grad():
        for parameter, value in (
            (theirs.experts.gate_up_proj, first.transpose(0, 2, 1)),
            (theirs.experts.down_proj, second.transpose(0, 2, 1)),
            (theirs.gate.weight, router.T),
        ):
            parameter.copy_(torch.as_tensor(value.copy()))
    return {
        "layer": theirs,
        "inputs": draw(rows)[None],
        "ours": ours,
        "gated": True,
        "comparable": True,
    }
