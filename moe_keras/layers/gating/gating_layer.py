"""The router: gates = softmax(x W / temperature), all of them or the k best."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.gate import Gate
from moe_keras.layers.registration import register
from moe_keras.ops import balance, gating
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of


@register
class GatingLayer(Gate):
    """Linear router with softmax scores: all experts, top-k or noisy top-k.

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
        normalize: bool. Whether the gates of a row sum to 1 when 1 < k < E;
            a top-1 gate always keeps its probability, or its gradient from
            the task would be zero. Defaults to `True`.
        level: what gets gates of its own. `"sample"`: an image or a sequence as
            a whole, scored on the mean over its positions. `"position"`: every
            position. `"auto"`: sample for inputs of rank 4 and more, or where
            a bank of the `MixtureOfExperts` reads whole samples; position
            else. Defaults to `"auto"`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss, used
            when 1 <= k < E. Defaults to `1e-2` (Switch Transformer).
        z_loss: float >= 0. Coefficient of the z-loss, used when 1 <= k < E.
            Defaults to `1e-3` (ST-MoE).
        importance_loss: float >= 0. Coefficient of the squared coefficient of
            variation of the experts' summed gates, used whether the gate is
            sparse or not; the paper uses 0.1. Defaults to `0.0`.
        mutual_information_loss: float >= 0. Coefficient of minus the mutual
            information between rows and experts, in nats: it asks for gates
            that are sure, and for experts that are used alike. Defaults to
            `0.0`.
        kernel_initializer: for W. `None` stands for a truncated normal with a
            tenth of the usual variance (Switch Transformer, section 2.4).
            Defaults to `None`.
        seed: int or None, for the noise. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        mask: bool or None, the shape of `inputs` without its last axis. Padding
            is routed nowhere (its gates are 0) and counts in no loss; at the
            sample level it is left out of the mean.
        training: bool or None.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; in [0, 1], 0 where an expert is not chosen.

    Source: Shazeer et al. (2017), arXiv:1701.06538, section 2.1 (noisy top-k)
        and 4 (importance loss); Fedus et al. (2021), arXiv:2101.03961 (top-1,
        balance loss); Zoph et al. (2022), arXiv:2202.08906 (z-loss); Mustafa
        et al. (2022), arXiv:2206.02770 (mutual information).

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
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, top_k, level, **kwargs)
        require(
            not noisy or top_k is not None,
            "GatingLayer",
            "`noisy` needs a `top_k`: without a choice, nothing is explored.",
            noisy=noisy,
            top_k=top_k,
        )
        require(
            temperature > 0,
            "GatingLayer",
            "`temperature` must be above 0.",
            temperature=temperature,
        )
        coefficients = {
            "balance_loss": balance_loss,
            "z_loss": z_loss,
            "importance_loss": importance_loss,
            "mutual_information_loss": mutual_information_loss,
        }
        for name, value in coefficients.items():
            require(
                value >= 0,
                "GatingLayer",
                f"`{name}` must not be negative.",
                **{name: value},
            )
        self.noisy = noisy
        self.temperature = temperature
        self.normalize = normalize
        self.balance_loss = balance_loss
        self.z_loss = z_loss
        self.importance_loss = importance_loss
        self.mutual_information_loss = mutual_information_loss
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.VarianceScaling(
                0.1, mode="fan_in", distribution="truncated_normal"
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        if noisy:
            self._noise_seed = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) >= 2 and input_shape[-1] is not None,
            "GatingLayer",
            "`inputs` must be (..., D) with a known D.",
            input_shape=tuple(input_shape),
        )
        shape = (input_shape[-1], self.num_experts)
        self.kernel = self.add_router_weight(
            shape, self.kernel_initializer, "kernel"
        )
        if self.noisy:
            # Zero, as in the paper: every expert starts with the same noise.
            self.noise_kernel = self.add_router_weight(
                shape, "zeros", "noise_kernel"
            )

    def gate_rows(self, rows: Any, real: Any, training: bool | None) -> Any:
        logits = ops.matmul(rows, self.kernel) / self.temperature
        selection = logits
        if self.noisy and training:
            normal = keras.random.normal(
                ops.shape(logits), dtype=logits.dtype, seed=self._noise_seed
            )
            noise_logits = ops.matmul(rows, self.noise_kernel)
            selection = gating.add_noise(logits, noise_logits, normal)
        gates, chosen = gating.softmax_gates(
            selection, self.top_k, self.normalize
        )
        if training:
            self._add_losses(logits, gates, chosen, real)
        return gates

    def _add_losses(
        self, logits: Any, gates: Any, chosen: Any, real: Any
    ) -> None:
        logits, gates, chosen = (
            ops.reshape(tensor, (-1, self.num_experts))
            for tensor in (logits, gates, chosen)
        )
        real = None if real is None else ops.reshape(real, (-1,))
        probabilities = gating.softmax(logits)
        if self.balance_loss and self.is_sparse:
            loss = balance.switch_balance_loss(
                probabilities, chosen, self.choices, real
            )
            self.add_loss(self.balance_loss * loss)
        if self.z_loss and self.is_sparse:
            self.add_loss(self.z_loss * balance.z_loss(logits, real))
        if self.importance_loss:
            loss = balance.importance_loss(gates, real)
            self.add_loss(self.importance_loss * loss)
        if self.mutual_information_loss:
            information = balance.mutual_information(probabilities, real)
            self.add_loss(-self.mutual_information_loss * information)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example, training's noise left out."""
        rows = size_of(self.compute_output_shape(shapes[0])[1:-1])
        count = rows * shapes[0][-1] * self.num_experts
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "noisy": self.noisy,
            "temperature": self.temperature,
            "normalize": self.normalize,
            "balance_loss": self.balance_loss,
            "z_loss": self.z_loss,
            "importance_loss": self.importance_loss,
            "mutual_information_loss": self.mutual_information_loss,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "seed": self.seed,
        }
