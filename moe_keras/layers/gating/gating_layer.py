"""The router: gates = softmax(x W / temperature), all of them or the k best."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.layers.gate import Gate
from moe_keras.layers.gates_record import note_scores
from moe_keras.layers.registration import register
from moe_keras.layers.router_checks import check_router, kept_router
from moe_keras.layers.router_losses import SPARSE_LOSSES, RouterLosses
from moe_keras.layers.router_scores import (
    SCORES,
    build_scores,
    router_initializer,
    score_rows,
    serialized_initializers,
)
from moe_keras.ops import gating, service
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of


@register
class GatingLayer(Gate):
    """Learned router: all experts, top-k, noisy top-k or top-p.

    It computes in float32 (in float64 under a float64 policy) whatever the
    dtype policy, and casts the gates at the end. In training it adds its
    auxiliary losses to the model's losses by itself.

    Args:
        num_experts: int > 0. E.
        top_k: int in 1..E, or None for all experts. Defaults to `None`.
        noisy: bool. Add learned Gaussian noise to the logits in training,
            before the k best are chosen; needs `top_k`. Defaults to `False`.
        temperature: float > 0. The logits are divided by it; above 1 the gates
            are softer. Defaults to `1.0`.
        normalize: bool. Whether the gates of a row with several experts sum to
            1; a single gate always keeps its score, or its gradient from
            the task would be zero. Defaults to `True`.
        level: what gets gates of its own. `"sample"`: an image or a sequence as
            a whole, scored on the mean over its positions. `"position"`: every
            position. `"auto"`: sample for inputs of rank 4 and more, or where
            a bank of the `MixtureOfExperts` reads whole samples; position
            else. Defaults to `"auto"`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss, used
            when the gate is sparse. Defaults to `1e-2` (Switch Transformer).
        z_loss: float >= 0. Coefficient of the z-loss, used when the gate is
            sparse. Defaults to `1e-3` (ST-MoE).
        importance_loss: float >= 0. Coefficient of the squared coefficient of
            variation of the experts' summed gates, used whether the gate is
            sparse or not; the paper uses 0.1. Defaults to `0.0`.
        mutual_information_loss: float >= 0. Coefficient of minus the mutual
            information between rows and experts, in nats: it asks for gates
            that are sure, and for experts that are used alike. Defaults to
            `0.0`.
        kernel_initializer: for W. `None` for a truncated normal with a tenth of
            the usual variance (Switch Transformer, 2.4). Defaults to `None`.
        bias_initializer: for a bias per expert, added to its score; `None` for
            no bias. Defaults to `None`.
        seed: int or None, for noise, jitter and dropout. Defaults to `None`.
        activation: `"softmax"`, or `"sigmoid"`: each expert is scored by
            itself. Defaults to `"softmax"`.
        scores: the logits. `"linear"`: x W. `"cosine"`: the cosine of a
            projection of x with a vector per expert, over a learned temperature
            that starts at 0.5. `"attention"`: the product of a query made of x
            with a key per expert. Defaults to `"linear"`.
        score_units: int > 0. S, width of the cosine's projection and of the
            query; 256 in Tutel. Defaults to `256`.
        order: `"softmax_top_k"`: softmax over all experts, then the best.
            `"top_k_softmax"`: softmax over the best alone, for `top_k` > 1.
            They differ where `normalize=False`. Defaults to `"softmax_top_k"`.
        top_p: float in (0, 1]. A row gets as many experts, best first, as
            reach this share of the scores, at most `top_k`; None for just
            `top_k`. Defaults to `None`.
        jitter: float in [0, 1). The router's own copy of the input is
            multiplied by U(1 - jitter, 1 + jitter) in training; 1e-2 in Switch
            Transformer. Defaults to `0.0`.
        load_bias: float >= 0. Step of a bias per expert that is added to the
            scores for the choice alone: in training it rises where the load is
            below the mean, and falls where it is above; 1e-3 in the paper.
            Needs `top_k`. Defaults to `0.0`.
        expert_dropout: float in [0, 1). Probability with which an expert is out
            of service for a whole batch in training; one always stays.
            Defaults to `0.0`.
        entropy_loss: float >= 0. Coefficient of the mean entropy of a row's
            scores, in nats: it asks for gates that are sure. Defaults to `0.0`.
        load_loss: float >= 0. Coefficient of the squared coefficient of
            variation of the experts' smooth load; needs `noisy` and k < E; the
            paper uses 0.1. Defaults to `0.0`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        mask: bool or None, the shape of `inputs` without its last axis. Padding
            is routed nowhere (its gates are 0) and counts in no loss; at the
            sample level it is left out of the mean.
        expert_mask: bool `(E,)`, or `(..., E)` with leading axes of the gates,
            or None; False for an expert that is out of service. See `Gate`.
        training: bool or None.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; in [0, 1], 0 where an expert is not chosen.

    Source: Shazeer et al. (2017), arXiv:1701.06538, section 2.1 (noisy top-k),
        4 (importance loss) and appendix A (load loss); Fedus et al. (2021),
        arXiv:2101.03961 (top-1, balance loss, jitter); Zoph et al. (2022),
        arXiv:2202.08906 (z-loss); Mustafa et al. (2022), arXiv:2206.02770
        (mutual information, entropy); Chi et al. (2022), arXiv:2204.09179
        (cosine); Wang et al. (2024), arXiv:2408.15664 (load bias);
        DeepSeek-AI (2024), arXiv:2412.19437 (sigmoid); Huang et al. (2024),
        arXiv:2403.07652 (top-p).

    Example:
    >>> GatingLayer(4, top_k=2)(np.ones((3, 8), "float32")).shape
    TensorShape([3, 4])
    """

    def __init__(
        self,
        num_experts: int,
        top_k: int | None = None,
        noisy: bool = False,
        temperature: float = 1.0,
        normalize: bool = True,
        level: str = "auto",
        balance_loss: float = 1e-2,
        z_loss: float = 1e-3,
        importance_loss: float = 0.0,
        mutual_information_loss: float = 0.0,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        seed: int | None = None,
        activation: str = "softmax",
        scores: str = "linear",
        score_units: int = 256,
        order: str = "softmax_top_k",
        top_p: float | None = None,
        jitter: float = 0.0,
        load_bias: float = 0.0,
        expert_dropout: float = 0.0,
        entropy_loss: float = 0.0,
        load_loss: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(num_experts, top_k, level, **kwargs)
        self.noisy = noisy
        self.temperature = temperature
        self.normalize = normalize
        self.balance_loss = balance_loss
        self.z_loss = z_loss
        self.importance_loss = importance_loss
        self.mutual_information_loss = mutual_information_loss
        self.kernel_initializer = router_initializer(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.seed = seed
        self.activation = activation
        self.scores = scores
        self.score_units = score_units
        self.order = order
        self.top_p = top_p
        self.jitter = jitter
        self.load_bias = load_bias
        self.expert_dropout = expert_dropout
        self.entropy_loss = entropy_loss
        self.load_loss = load_loss
        check_router(self)
        self.selection_bias = self.score_bias = None
        if noisy or jitter or expert_dropout:
            self._noise_seed = keras.random.SeedGenerator(seed)

    @property
    def is_sparse(self) -> bool:
        """Whether a row reaches fewer experts than there are."""
        return self.choices < self.num_experts or (self.top_p or 1) < 1

    def build(self, input_shape: Any) -> None:
        width = self.check_width(input_shape)
        build_scores(self, width)
        if self.noisy:
            # Zero, as in the paper: every expert starts with the same noise.
            self.noise_kernel = self.add_router_weight(
                (width, self.num_experts), "zeros", "noise_kernel"
            )
        if self.load_bias:
            self.selection_bias = self.add_router_weight(
                (self.num_experts,), "zeros", "selection_bias", trainable=False
            )
        self.log_losses(
            *(SPARSE_LOSSES if self.is_sparse else ()),
            "importance_loss",
            "mutual_information_loss",
            "entropy_loss",
            "load_loss",
        )

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        return kept_router(super().kept_config(indices))

    def shared_weights(self) -> list[Any]:
        return SCORES[self.scores].shared(self)

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Any:
        if training:
            rows = self._jitter(rows)
            in_service = self._drop_experts(in_service)
        logits = score_rows(self, rows) / self.temperature
        note_scores(self, logits)
        ranked, scale = logits, None
        if self.noisy and training:
            scale = gating.noise_scale(ops.matmul(rows, self.noise_kernel))
            normal = keras.random.normal(
                ops.shape(logits), dtype=logits.dtype, seed=self._noise_seed
            )
            ranked = logits + normal * scale
        # Large inputs may overflow on the way.
        good = service.finite_rows(ranked)
        if training:
            logits = self._clean(logits, good, in_service)
            ranked = self._clean(ranked, good, in_service)
        selection = gating.choose_gates(
            ranked,
            self.top_k,
            self.normalize,
            self.activation,
            self.order,
            self.top_p,
            self.selection_bias,
            in_service,
        )
        if training:
            real = real * ops.cast(good, real.dtype)
            losses = RouterLosses(self, selection.chosen, real, in_service)
            self._add_losses(losses, logits, selection)
            if self.load_loss:
                scale = ops.where(ops.expand_dims(good, -1), scale, 1.0)
                odds = gating.top_k_probability(
                    logits, ranked, scale, self.choices
                )
                losses.add_load(self.load_loss, odds)
            if self.load_bias and self.trainable:
                step = ops.cast(losses.load_step(), self.router_dtype)
                self.selection_bias.assign_add(self.load_bias * step)
        return selection.spoiled(good)

    def _clean(self, logits: Any, good: Any, in_service: Any) -> Any:
        return service.exclude(service.clear_rows(logits, good), in_service)

    def _jitter(self, rows: Any) -> Any:
        if not self.jitter:
            return rows
        return rows * keras.random.uniform(
            ops.shape(rows),
            1 - self.jitter,
            1 + self.jitter,
            dtype=rows.dtype,
            seed=self._noise_seed,
        )

    def _drop_experts(self, in_service: Any) -> Any:
        if not self.expert_dropout:
            return in_service
        uniform = keras.random.uniform(
            (self.num_experts,), seed=self._noise_seed
        )
        return service.drop_experts(uniform, self.expert_dropout, in_service)

    def _add_losses(
        self, losses: RouterLosses, logits: Any, selection: gating.Selection
    ) -> None:
        shares = gating.shares_of(logits, self.activation)
        if self.balance_loss and self.is_sparse:
            losses.add_balance(self.balance_loss, shares)
        if self.z_loss and self.is_sparse:
            losses.add_z(self.z_loss, logits)
        if self.importance_loss:
            losses.add_importance(self.importance_loss, selection.gates)
        if self.mutual_information_loss:
            losses.add_mutual_information(self.mutual_information_loss, shares)
        if self.entropy_loss:
            losses.add_entropy(self.entropy_loss, shares)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example, training's noise left out."""
        rows = size_of(self.compute_output_shape(shapes[0])[1:-1])
        count = rows * SCORES[self.scores].count(self, shapes[0][-1])
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        names = (
            "noisy temperature normalize balance_loss z_loss importance_loss "
            "mutual_information_loss seed activation scores score_units order "
            "top_p jitter load_bias expert_dropout entropy_loss load_loss"
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names.split()},
            **serialized_initializers(self),
        }
