"""Router logits `(..., E)` of rows `(..., D)` that are not a linear map."""

from typing import Any

from keras import ops

from moe_keras.ops.scaling import scale_to_unit

# Tutel's cosine router (cosine_top.py): the scale starts at 1 / 0.5 and is
# clamped at 1 / 0.01.
COSINE_TEMPERATURE = 0.5
COSINE_TEMPERATURE_FLOOR = 0.01


def cosine_logits(
    rows: Any, kernel: Any, embeddings: Any, log_scale: Any
) -> Any:
    """cos(x W, v_e) * exp(log_scale), the scale at most 100.

    Args:
        rows: float `(..., D)`.
        kernel: float `(D, S)`.
        embeddings: float `(S, E)`, one direction per expert.
        log_scale: float scalar, minus the logarithm of a temperature.

    Returns:
        float `(..., E)`.

    Source: Chi et al. (2022), X-MoE, arXiv:2204.09179; Tutel's
        `cosine_top.py` (constants).
    """
    projected = scale_to_unit(ops.matmul(rows, kernel), -1)
    cosines = ops.matmul(projected, scale_to_unit(embeddings, 0))
    return cosines * ops.minimum(
        ops.exp(log_scale), 1.0 / COSINE_TEMPERATURE_FLOOR
    )


def attention_logits(rows: Any, kernel: Any, keys: Any) -> Any:
    """(x W) k_e / sqrt(S): a query of the row, a learned key per expert.

    Args:
        rows: float `(..., D)`.
        kernel: float `(D, S)`.
        keys: float `(S, E)`.

    Returns:
        float `(..., E)`.

    Source: Vaswani et al. (2017), arXiv:1706.03762, eq. 1, without values.
    """
    return ops.matmul(ops.matmul(rows, kernel), keys) / keys.shape[0] ** 0.5
