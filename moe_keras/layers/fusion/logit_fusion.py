"""Opinion pools: log sum_e g_e softmax(o_e), or log softmax(sum_e g_e o_e)."""

from typing import Any

from keras import ops

from moe_keras.errors import require
from moe_keras.layers.fusion_layer import Fusion
from moe_keras.layers.registration import register
from moe_keras.ops.fusion import linear_pool, log_pool
from moe_keras.ops.scaling import widen

POOLS = {"linear": linear_pool, "logarithmic": log_pool}


@register
class LogitFusion(Fusion):
    """Log-probabilities of a mixture whose experts return logits.

    The result goes into a cross-entropy with `from_logits=True`, to which
    log-probabilities are logits; it is computed in at least float32.

    Args:
        pool: `"linear"`: the mixture of the experts' distributions, `log sum_e
            g_e softmax(o_e)`; one sure expert is enough to give a class weight.
            `"logarithmic"`: their weighted product, `log softmax(sum_e g_e
            o_e)`; one sure expert is enough to rule a class out. Defaults to
            `"linear"`.
        drop_non_finite: bool. Whether an expert whose output for a row holds
            NaN or infinity is left out of that row, the other gates scaled up
            to the sum that all had. Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: list of one or several banks' logits `(P..., E_b, ..., U)` of
            U > 1 classes and, last, the gates `(P..., E)`, not negative.

    Returns:
        float `(P..., ..., U)`, log-probabilities; the uniform distribution for
        a row without an expert. The linear pool's are those of a distribution
        if the gates of a row sum to 1: with `top_k=1` a constant is added, that
        a cross-entropy with `from_logits=True` cancels, and the gate's gradient
        with it, so that a `MixtureOfExperts` refuses it; the logarithmic pool
        keeps that gradient.

    Source: Stone (1961), Annals of Mathematical Statistics 32(4); Genest &
        Zidek (1986), Statistical Science 1(1); Jacobs et al. (1991), Neural
        Computation 3(1); Hinton (2002), Neural Computation 14(8).

    Example:
    >>> logits = DenseExpert(10, num_experts=4, activation=None)
    >>> MixtureOfExperts(logits, GatingLayer(4), LogitFusion())
    """

    def __init__(
        self,
        pool: str = "linear",
        drop_non_finite: bool = False,
        **kwargs: Any,
    ):
        super().__init__(drop_non_finite, **kwargs)
        require(
            pool in POOLS,
            "LogitFusion",
            f"`pool` must be one of {tuple(POOLS)}.",
            pool=pool,
        )
        self.pool = pool

    @property
    def loses_scale(self) -> bool:
        """Whether a cross-entropy cancels a factor common to all gates."""
        return self.pool == "linear"

    def build_fusion(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            row_shape and row_shape[-1] is not None and row_shape[-1] > 1,
            "LogitFusion",
            "experts must return the logits of two classes or more.",
            row_shape=row_shape,
        )

    def fuse(self, outputs: Any, gates: Any) -> Any:
        pooled = POOLS[self.pool](widen(outputs), widen(gates))
        return ops.cast(pooled, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool": self.pool}
