"""st-moe-pytorch: GEGLU experts behind capacity buffers that drop rows."""

from benchmarks.contestants import CAN_GATE, HIDDEN, WIDTH, draw, mixture

TOP_KS = (2,)
NOTE = (
    "capacity 2.0 at evaluation, and a second expert below the threshold 0.2 "
    "is dropped at random: it may compute less, and its outputs are its own"
)


def make(rows: int, experts: int, top_k: int) -> dict:
    """See `benchmarks.peers`."""
    from st_moe_pytorch import MoE

    if rows * rows * top_k > 4096 * 4096 * 2:
        raise NotImplementedError("its dispatch tensor would not fit")
    # Its hidden width is 2/3 of the multiple: the same H as ours.
    theirs = MoE(
        WIDTH,
        num_experts=experts,
        expert_hidden_mult=1.5 * HIDDEN / WIDTH,
        gating_top_n=top_k,
    ).eval()
    bank = {"gated": True} if CAN_GATE else {}
    return {
        "layer": theirs,
        "inputs": draw(rows)[None],
        "ours": mixture(rows, experts, top_k, "gelu", **bank),
        "gated": CAN_GATE,
        "comparable": False,
    }
