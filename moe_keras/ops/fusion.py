"""Fusion: from expert outputs `(P..., E, R...)` and gates to `(P..., R...)`."""

from typing import Any

from keras import ops


def weighted_sum(outputs: Any, gates: Any) -> Any:
    """Y = sum_e g_e f_e(x).

    Args:
        outputs: float `(P..., E, R...)`, one slice per expert.
        gates: float `(P..., E)`.

    Returns:
        float `(P..., R...)`.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.2; Shazeer et
        al. (2017), arXiv:1701.06538, eq. 1.
    """
    expert_axis = len(gates.shape) - 1
    trailing = len(outputs.shape) - len(gates.shape)
    for _ in range(trailing):
        gates = ops.expand_dims(gates, -1)
    # An expert whose gate is 0 has no say, whatever it holds: 0 * NaN is NaN,
    # in the gradient too, so the outputs are cleared before the product.
    heard = ops.where(gates == 0, ops.zeros_like(outputs), outputs)
    return ops.sum(gates * heard, axis=expert_axis)
