"""The router: gates = softmax(x W / temperature), all of them or the k best."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.gates_record import note_gates
from moe_keras.layers.registration import register
from moe_keras.ops import balance, gating
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of

LEVELS = ("auto", "sample", "position")


@register
class GatingLayer(keras.layers.Layer):
    """Linear router with softmax scores: all experts, top-k or noisy top-k.

    It computes in float32 (in float64 under a float64 policy) whatever the
    dtype policy, and casts the gates at the end. In training a sparse router
    adds its balance loss and z-loss to the model's losses by itself.

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
            position. `"auto"`: sample for inputs of rank 4 and more, position
            below, or what the banks of a `MixtureOfExperts` need. Defaults to
            `"auto"`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss, used
            when 1 <= k < E. Defaults to `1e-2` (Switch Transformer).
        z_loss: float >= 0. Coefficient of the z-loss, used when 1 <= k < E.
            Defaults to `1e-3` (ST-MoE).
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

    Source: Shazeer et al. (2017), arXiv:1701.06538, section 2.1 (noisy top-k);
        Fedus et al. (2021), arXiv:2101.03961 (top-1, balance loss); Zoph et
        al. (2022), arXiv:2202.08906 (z-loss).

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
        kernel_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        # The router reads its input as it comes, not cast down to half.
        super().__init__(autocast=False, **kwargs)
        _check_arguments(
            num_experts, top_k, noisy, temperature, level, balance_loss, z_loss
        )
        self.num_experts = num_experts
        self.top_k = top_k
        self.noisy = noisy
        self.temperature = temperature
        self.normalize = normalize
        self.level = level
        self.balance_loss = balance_loss
        self.z_loss = z_loss
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.VarianceScaling(
                0.1, mode="fan_in", distribution="truncated_normal"
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        # A mixture whose experts read whole samples sets this.
        self.serves_samples = False
        self.supports_masking = True
        if noisy:
            self._noise_seed = keras.random.SeedGenerator(seed)

    @property
    def choices(self) -> int:
        """K: how many experts a row reaches, E without `top_k`."""
        return self.num_experts if self.top_k is None else self.top_k

    @property
    def is_sparse(self) -> bool:
        """Whether a row reaches fewer experts than there are."""
        return self.choices < self.num_experts

    def resolve_level(self, rank: int) -> str:
        """`"sample"` or `"position"`, for inputs with `rank` axes in all."""
        if self.level != "auto":
            return self.level
        return "sample" if rank >= 4 or self.serves_samples else "position"

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) >= 2 and input_shape[-1] is not None,
            "GatingLayer",
            "`inputs` must be (..., D) with a known D.",
            input_shape=tuple(input_shape),
        )
        self._by_sample = self.resolve_level(len(input_shape)) == "sample"
        shape = (input_shape[-1], self.num_experts)
        self.kernel = self._add_router_weight(
            shape, self.kernel_initializer, "kernel"
        )
        if self.noisy:
            # Zero, as in the paper: every expert starts with the same noise.
            self.noise_kernel = self._add_router_weight(
                shape, "zeros", "noise_kernel"
            )

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        require(
            keras.backend.is_float_dtype(
                keras.backend.standardize_dtype(inputs.dtype)
            ),
            "GatingLayer",
            "`inputs` must be of a float dtype.",
            dtype=keras.backend.standardize_dtype(inputs.dtype),
        )
        rows, real = self._rows(ops.cast(inputs, self._router_dtype()), mask)
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
        if training and self.is_sparse:
            self._add_losses(logits, chosen, real)
        if real is not None:
            gates = ops.where(
                ops.expand_dims(real, -1) > 0, gates, ops.zeros_like(gates)
            )
        gates = ops.cast(gates, self.compute_dtype)
        note_gates(self.name, gates)
        return gates

    def _router_dtype(self) -> str:
        return "float64" if self.compute_dtype == "float64" else "float32"

    def _add_router_weight(
        self, shape: Any, initializer: Any, name: str
    ) -> Any:
        return self.add_weight(
            shape,
            initializer,
            dtype=self._router_dtype(),
            autocast=False,
            name=name,
        )

    def _rows(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """The router's rows `(..., D)` and which of them are real `(...)`."""
        real = None if mask is None else ops.cast(mask, inputs.dtype)
        if not self._by_sample or len(inputs.shape) == 2:
            return inputs, real
        positions = tuple(range(1, len(inputs.shape) - 1))
        if real is None:
            return ops.mean(inputs, axis=positions), None
        weights = ops.expand_dims(real, -1)
        kept = ops.where(weights > 0, inputs, ops.zeros_like(inputs))
        count = ops.maximum(ops.sum(weights, axis=positions), 1.0)
        return ops.sum(kept, axis=positions) / count, ops.max(
            real, axis=positions
        )

    def _add_losses(self, logits: Any, chosen: Any, real: Any) -> None:
        logits = ops.reshape(logits, (-1, self.num_experts))
        chosen = ops.reshape(chosen, (-1, self.num_experts))
        real = None if real is None else ops.reshape(real, (-1,))
        if self.balance_loss:
            probabilities = ops.softmax(logits, axis=-1)
            loss = balance.switch_balance_loss(
                probabilities, chosen, self.choices, real
            )
            self.add_loss(self.balance_loss * loss)
        if self.z_loss:
            self.add_loss(self.z_loss * balance.z_loss(logits, real))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        by_sample = self.resolve_level(len(input_shape)) == "sample"
        leading = input_shape[:1] if by_sample else input_shape[:-1]
        return (*leading, self.num_experts)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: padding is marked by gates of 0."""
        return None

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example, training's noise left out."""
        rows = size_of(self.compute_output_shape(shapes[0])[1:-1])
        count = rows * shapes[0][-1] * self.num_experts
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "top_k": self.top_k,
            "noisy": self.noisy,
            "temperature": self.temperature,
            "normalize": self.normalize,
            "level": self.level,
            "balance_loss": self.balance_loss,
            "z_loss": self.z_loss,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "seed": self.seed,
        }


def _check_arguments(
    num_experts: Any,
    top_k: Any,
    noisy: bool,
    temperature: float,
    level: str,
    balance_loss: float,
    z_loss: float,
) -> None:
    owner = "GatingLayer"
    require(
        is_count(num_experts),
        owner,
        "`num_experts` must be an integer above 0.",
        num_experts=num_experts,
    )
    require(
        top_k is None or (is_count(top_k) and top_k <= num_experts),
        owner,
        "`top_k` must be an integer in 1..num_experts, or None.",
        top_k=top_k,
        num_experts=num_experts,
    )
    require(
        not noisy or top_k is not None,
        owner,
        "`noisy` needs a `top_k`: without a choice, nothing is explored.",
        noisy=noisy,
        top_k=top_k,
    )
    require(
        temperature > 0,
        owner,
        "`temperature` must be above 0.",
        temperature=temperature,
    )
    require(
        level in LEVELS, owner, f"`level` must be one of {LEVELS}.", level=level
    )
    require(
        balance_loss >= 0,
        owner,
        "`balance_loss` must not be negative.",
        balance_loss=balance_loss,
    )
    require(z_loss >= 0, owner, "`z_loss` must not be negative.", z_loss=z_loss)
