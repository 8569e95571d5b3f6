"""No router: the expert of a row is a hash of its identifier."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.gate import Gate
from moe_keras.layers.input_checks import check_mask
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.hashing import MOST_EXPERTS, hash_to_experts
from moe_keras.ops.picks import Picks


@register
class HashGating(Gate):
    """One expert per row, by a fixed hash of the row's identifier.

    Nothing is learned, and the experts are balanced as well as the identifiers
    are: all rows with the same one go to the same expert, on every backend.

    Args:
        num_experts: int in 1..65638. E.
        column: int or None. Which of the D features holds the identifier, a
            whole number; None: the inputs are identifiers themselves, of an
            integer dtype. Defaults to `None`.
        salt: int. Another one gives another assignment. Defaults to `0`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: int `(...)`, as `(B,)` or `(B, T)`; with `column`, float or int
            `(..., D)`. A float32 holds whole numbers up to 2^24.
        mask: bool or None, the shape of the identifiers. Padding has gates of
            0.
        expert_mask: None. The hash knows no second choice, so that a mask is an
            error.
        training: bool or None, of no effect.

    Returns:
        float gates `(..., E)`: 1 for one expert and 0 for the others.

    Source: Roller et al. (2021), Hash layers, arXiv:2106.04426, section 3.1.

    Example:
    >>> HashGating(4)(np.arange(6).reshape(2, 3)).shape
    TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        num_experts: int,
        column: int | None = None,
        salt: int = 0,
        **kwargs: Any,
    ):
        super().__init__(num_experts, 1, "position", **kwargs)
        require(
            num_experts <= MOST_EXPERTS,
            "HashGating",
            f"`num_experts` must be at most {MOST_EXPERTS}.",
            num_experts=num_experts,
        )
        require(
            column is None or _is_int(column),
            "HashGating",
            "`column` must be an integer or None.",
            column=column,
        )
        require(
            _is_int(salt),
            "HashGating",
            "`salt` must be an integer.",
            salt=salt,
        )
        self.column = column
        self.salt = salt

    @property
    def learns_by_scale(self) -> bool:
        """No: nothing is learned."""
        return False

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        require(
            False,
            "HashGating",
            "a hash cannot do without an expert, and none can be removed.",
            indices=list(indices),
        )
        return {}

    def build(self, input_shape: Any) -> None:
        if self.column is None:
            return
        width = self.check_width(input_shape)
        require(
            -width <= self.column < width,
            "HashGating",
            "`column` must be one of the features.",
            column=self.column,
            input_shape=tuple(input_shape),
        )

    def read_rows(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """The identifiers `(..., 1)`, and which are real `(...)` or None."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        require(
            self.column is not None or "int" in dtype,
            "HashGating",
            "`inputs` must be of an integer dtype, or `column` must be given.",
            dtype=dtype,
            column=self.column,
        )
        if self.column is None:
            rows = ops.expand_dims(inputs, -1)
        else:
            start = self.column % inputs.shape[-1]
            rows = inputs[..., start : start + 1]
        check_mask("HashGating", mask, rows.shape[:-1])
        real = None if mask is None else ops.cast(mask, self.router_dtype)
        return rows, real

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Picks:
        require(
            in_service is None,
            "HashGating",
            "a hash cannot do without an expert; `expert_mask` must be None.",
            expert_mask=in_service,
        )
        experts = hash_to_experts(rows, self.num_experts, self.salt)
        return Picks(experts, ops.ones_like(experts, dtype=self.router_dtype))

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """A look-up."""
        return Cost(0, 0)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        leading = input_shape if self.column is None else input_shape[:-1]
        return (*leading, self.num_experts)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["top_k"], config["level"]
        return {**config, "column": self.column, "salt": self.salt}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
