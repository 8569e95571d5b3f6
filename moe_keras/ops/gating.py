"""Gating: from router logits `(..., E)` to gates `(..., E)`."""

from typing import Any

from keras import ops

from moe_keras.ops import kernels
from moe_keras.ops.picks import Picks, mark
from moe_keras.ops.service import exclude

# Shazeer et al. (2017), arXiv:1701.06538, eq. 4 has a bare softplus; the
# authors' own code adds this floor so that the noise never dies out.
NOISE_FLOOR = 1e-2

ORDERS = ("softmax_top_k", "top_k_softmax")


def noise_scale(noise_logits: Any) -> Any:
    """Standard deviation of the noise, softplus(x W_noise) + 0.01.

    Args:
        noise_logits: float `(..., E)`, x W_noise.

    Returns:
        float `(..., E)`, in units of a logit.
    """
    return ops.softplus(noise_logits) + NOISE_FLOOR


def add_noise(logits: Any, noise_logits: Any, normal: Any) -> Any:
    """Noisy logits `x W_g + N(0, 1) * (softplus(x W_noise) + 0.01)`.

    Args:
        logits: float `(..., E)`, x W_g.
        noise_logits: float `(..., E)`, x W_noise.
        normal: float `(..., E)`, a draw from the standard normal distribution.

    Returns:
        float `(..., E)`.

    Source: Shazeer et al. (2017), arXiv:1701.06538, eq. 4.
    """
    return logits + normal * noise_scale(noise_logits)


def choose_top_k(scores: Any, k: int) -> Any:
    """Which experts are among the k best of their row, ties to the lower index.

    Args:
        scores: float `(..., E)`.
        k: int in 1..E.

    Returns:
        bool `(..., E)`, exactly k of them true in each row.
    """
    _, experts = kernels.top_k(scores, k)
    return mark(experts, scores.shape[-1])


def reach_top_p(shares: Any, picks: Any, top_p: float) -> Any:
    """Which of the picked experts are needed to reach a share; at least one.

    Args:
        shares: float `(..., E)`, rows sum to 1.
        picks: int `(..., K)`, experts, best first.
        top_p: float in (0, 1].

    Returns:
        bool `(..., K)`.

    Source: Huang et al. (2024), arXiv:2403.07652.
    """
    picked = ops.take_along_axis(shares, picks, axis=-1)
    # One is in while those before it have not reached the share.
    return ops.cumsum(picked, axis=-1) - picked < top_p


def softmax(logits: Any) -> Any:
    """Softmax over the experts; of a single one, 1 without Keras' warning."""
    if logits.shape[-1] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


ACTIVATIONS = {"softmax": softmax, "sigmoid": ops.sigmoid}


def _same(logits: Any) -> Any:
    return logits


# Logarithms of the scores, but for a constant of the row. Scores divided by
# their sum are the softmax of these; the scores themselves may all be 0.
_LOGARITHMS = {"softmax": _same, "sigmoid": ops.log_sigmoid}


def shares_of(logits: Any, activation: str = "softmax") -> Any:
    """Scores of all experts, divided by their sum: `(..., E)`.

    Args:
        logits: float `(..., E)`.
        activation: `"softmax"` or `"sigmoid"`.
    """
    return softmax(_LOGARITHMS[activation](logits))


class Selection:
    """What `choose_gates` found, in the form in which it is wanted.

    Attributes:
        picks: `Picks` of K experts per row; None where everyone is chosen.
    """

    def __init__(
        self, picks: Picks | None, kept: Any, gates: Any, num_experts: int
    ) -> None:
        self.picks = picks
        self._kept = kept
        self._gates = gates
        self._num_experts = num_experts

    @property
    def gates(self) -> Any:
        """Float `(..., E)`, in [0, 1], 0 where an expert is not chosen."""
        if self.picks is None:
            return self._gates
        return self.picks.spread(self._num_experts)

    @property
    def chosen(self) -> Any:
        """Bool `(..., E)`."""
        if self.picks is not None:
            return mark(self.picks.experts, self._num_experts, self._kept)
        every = ops.ones_like(self._gates, dtype="bool")
        if self._kept is None:
            return every
        return ops.logical_and(every, self._kept)

    def spoiled(self, good: Any) -> Any:
        """`Picks`, or gates where there are none, NaN in rows not `good`."""
        good = ops.expand_dims(good, -1)
        if self.picks is None:
            return ops.where(good, self._gates, float("nan"))
        weights = ops.where(good, self.picks.weights, float("nan"))
        return Picks(self.picks.experts, weights)


def choose_gates(
    logits: Any,
    top_k: int | None = None,
    normalize: bool = True,
    activation: str = "softmax",
    order: str = "softmax_top_k",
    top_p: float | None = None,
    bias: Any = None,
    in_service: Any = None,
) -> Selection:
    """Scores of all experts, then the best of them, renormalised.

    A row with a single expert keeps its score as it is: divided by itself it
    would be the constant 1, and the router would learn nothing from the task.

    Args:
        logits: float `(..., E)`.
        top_k: int in 1..E, or None for all experts.
        normalize: whether the gates of a row with several experts sum to 1.
        activation: `"softmax"` or `"sigmoid"`.
        order: `"softmax_top_k"`: the softmax is over all experts.
            `"top_k_softmax"`: it is over the chosen ones.
        top_p: float in (0, 1] or None; see `reach_top_p`.
        bias: float `(E,)` or None, added to the scores for the choice only.
        in_service: bool, broadcasts to `(..., E)`, or None for all.

    Returns:
        A `Selection`, with the gates `(..., E)` and what else is known.

    Source: Fedus et al. (2021), arXiv:2101.03961, eq. 1-2 (k = 1); Shazeer et
        al. (2017), arXiv:1701.06538, eq. 3 and 5 (k > 1); DeepSeek-AI (2024),
        arXiv:2412.19437, eq. 12-16 (sigmoid, bias).
    """
    num_experts = logits.shape[-1]
    k = num_experts if top_k is None else top_k
    logits = exclude(logits, in_service)
    activate, log = ACTIVATIONS[activation], _LOGARITHMS[activation]
    together = normalize and k > 1
    if k == num_experts and top_p is None:
        gates = activate(logits)
        if together and activation != "softmax":
            shares = softmax(exclude(log(logits), in_service))
            gates = _unless_alone(shares, gates, in_service)
        if in_service is not None:
            gates = ops.where(in_service, gates, 0.0)
        return Selection(None, in_service, gates, num_experts)
    # What follows has K numbers per row, not E.
    best = logits
    if bias is not None:
        best = exclude(activate(logits) + bias, in_service)
    picked, experts = kernels.top_k(best, k)
    if bias is not None:
        picked = ops.take_along_axis(logits, experts, axis=-1)
    kept = None
    if top_p is not None:
        kept = reach_top_p(shares_of(logits, activation), experts, top_p)
    if in_service is not None:
        every = ops.logical_and(in_service, ops.ones_like(logits, dtype="bool"))
        serving = ops.take_along_axis(every, experts, axis=-1)
        kept = serving if kept is None else ops.logical_and(kept, serving)
    if order == "top_k_softmax":
        weights = kernels.softmax_of_few(exclude(picked, kept))
    elif together and kept is None:
        weights = kernels.softmax_of_few(log(picked))
    else:
        if activation == "softmax":
            weights = ops.take_along_axis(activate(logits), experts, axis=-1)
        else:
            weights = activate(picked)
        if together:
            shares = kernels.softmax_of_few(exclude(log(picked), kept))
            weights = _unless_alone(shares, weights, kept)
    if kept is not None:
        weights = ops.where(kept, weights, 0.0)
    return Selection(Picks(experts, weights), kept, None, num_experts)


def _unless_alone(shares: Any, scores: Any, kept: Any) -> Any:
    """The shares, or the scores of rows that have kept a single expert."""
    if kept is None:
        return shares
    count = ops.sum(ops.cast(kept, "int32"), axis=-1, keepdims=True)
    return ops.where(count > 1, shares, scores)


def top_k_probability(logits: Any, noisy: Any, scale: Any, k: int) -> Any:
    """How likely each expert is among the k best under a new draw of its noise.

    The draws of the other experts stay as they are. All are on the scale of
    the logits.

    Args:
        logits: float `(..., E)`, without noise.
        noisy: float `(..., E)`, with noise.
        scale: float `(..., E)`, standard deviation of the noise.
        k: int in 1..E-1.

    Returns:
        float `(..., E)`, in [0, 1].

    Source: Shazeer et al. (2017), arXiv:1701.06538, appendix A, eq. 8-9.
    """
    best, _ = kernels.top_k(noisy, k + 1)
    inside, outside = best[..., k : k + 1], best[..., k - 1 : k]
    # The k-th best of the others.
    rival = ops.where(choose_top_k(noisy, k), inside, outside)
    # sqrt(2): the error function is of a normal of variance 1/2.
    return 0.5 * (1.0 + ops.erf((logits - rival) / (scale * 2**0.5)))
