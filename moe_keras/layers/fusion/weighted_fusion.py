"""Weighted fusion: y = sum_e g_e f_e(x)."""

from typing import Any

from moe_keras.layers.fusion_layer import Fusion
from moe_keras.layers.registration import register
from moe_keras.ops.fusion import weighted_sum


@register
class WeightedFusion(Fusion):
    """Sum of the expert outputs, each times its gate.

    If the experts return class probabilities, so does the fusion, and the
    cross-entropy of the result is the negative log-likelihood of the mixture.

    Args:
        drop_non_finite: bool. Whether an expert whose output for a row holds
            NaN or infinity is left out of that row, the other gates scaled up
            to the sum that all had; a row without a finite expert gives zeros.
            Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: list of one or several banks' outputs `(P..., E_b, R...)` and,
            last, the gates `(P..., E)` with E the sum of all E_b, in the order
            of the banks.

    Returns:
        float `(P..., R...)`.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.2.

    Example:
    >>> gates = GatingLayer(4)(x)
    >>> WeightedFusion()([DenseExpert(16, num_experts=4)(x, gates), gates])
    """

    def __init__(self, drop_non_finite: bool = False, **kwargs: Any):
        super().__init__(drop_non_finite, **kwargs)

    def fuse(self, outputs: Any, gates: Any) -> Any:
        return weighted_sum(outputs, gates, cleared=True)
