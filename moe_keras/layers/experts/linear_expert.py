"""Linear experts: the logits of classes as an affine map of features."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_number, require, require_counts
from moe_keras.layers.product_bank import ProductBank
from moe_keras.layers.registration import register
from moe_keras.ops.feed_forward import add_bias

OWNER = "LinearExpert"
# Of the softplus: it is within 0.0007 of max(v, 0) where |v| > 0.5.
SHARPNESS = 10.0


@register
class LinearExpert(ProductBank):
    """Bank of linear classifiers, whose weights can be held to a sign.

    Two classes need one score, s_e(x) = x w_e + b_e, that of class 1 against
    class 0: the logits are (-s/2, s/2). With one output unit, it is s. More
    classes have a score each.

    Where `signs` is 1 or -1, the weight is that sign times softplus(10 v) / 10,
    with v trained in its place: smooth, about max(v, 0), and never of the other
    sign. So s never falls where a feature of sign 1 rises, in floating point
    too, as long as the products of a row are summed in the same order. Weights
    of sign 0 are free, and begin at 0; the experts of a bank begin equal, and
    only their gates set them apart.

    Args:
        output_units: int > 0. U: 2 for two classes, 1 for the score alone, or
            the number of classes. Defaults to `2`.
        num_experts: int > 0. E. Defaults to `1`.
        signs: sequence of F entries of -1, 0 or 1, or None for no sign: those
            of the weights of class 1 minus class 0, as `TabularEncoding.signs`
            makes them. With more than two classes, None. Defaults to `None`.
        initial: float > 0. The size of the weights that have a sign, at first.
            Defaults to `0.01`.
        kernel_regularizer: applied to the weights, with their signs, of all
            experts together. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., F)`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes, dispatch, experts: see `ExpertBank`.

    Returns:
        float `(..., E, U)`: logits, one slice per expert, not yet weighted;
        zeros where the gate is 0.

    Source: Dugas et al. (2000), Incorporating second-order functional knowledge
        for better option pricing, NIPS 13 (softplus for weights of one sign).

    Example:
    >>> bank = LinearExpert(signs=encoding.signs([1, 0]))
    >>> bank(encoding(rows)).shape
    TensorShape([1000, 1, 2])
    """

    def __init__(
        self,
        output_units: int = 2,
        num_experts: int = 1,
        signs: Any = None,
        initial: float = 0.01,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        require_counts(OWNER, output_units=output_units)
        self.output_units = output_units
        self.signs = _check_signs(signs, output_units)
        require(
            is_number(initial) and initial > 0,
            OWNER,
            "`initial` must be a finite number above 0.",
            initial=initial,
        )
        self.initial = float(initial)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    @property
    def _scores(self) -> int:
        return 1 if self.output_units == 2 else self.output_units

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        features = row_shape[-1]
        require(
            self.signs is None or len(self.signs) == features,
            OWNER,
            f"`signs` must have an entry for each of the {features} features.",
            signs=None if self.signs is None else len(self.signs),
        )
        regularizer = self.kernel_regularizer
        self.kernel = self.add_weight(
            (self.num_experts, features, self._scores),
            self._start,
            # Of the weights, not of what stands for them.
            regularizer=None
            if regularizer is None
            else lambda values: regularizer(self._give_signs(values)),
            name="kernel",
        )
        self.bias = self.add_weight(
            (self.num_experts, self._scores), "zeros", name="bias"
        )

    def _start(self, shape: Any, dtype: Any = None) -> Any:
        start = math.log(math.expm1(SHARPNESS * self.initial)) / SHARPNESS
        signed = np.zeros(shape[1]) if self.signs is None else self.signs
        values = np.where(np.asarray(signed) == 0, 0.0, start)
        values = np.broadcast_to(values[:, None], shape)
        return ops.convert_to_tensor(values, dtype)

    def _give_signs(self, values: Any) -> Any:
        """The weights, of what is trained."""
        values = ops.convert_to_tensor(values)
        if self.signs is None:
            return values
        signs = ops.cast(np.asarray(self.signs)[:, None], values.dtype)
        sizes = ops.softplus(SHARPNESS * values) / SHARPNESS
        return ops.where(signs == 0, values, signs * sizes)

    def weight_banks(self) -> list[Any]:
        return [self._give_signs(self.kernel), self.bias]

    def formula(
        self, rows: Any, weights: list[Any], product: Any, training: Any
    ) -> Any:
        kernel, bias = weights
        scores = add_bias(product(rows, kernel), bias)
        if self.output_units != 2:
            return scores
        return ops.concatenate([-scores / 2, scores / 2], axis=-1)

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """The weights with their signs, and the biases, as arrays.

        Returns:
            float `(E, F, S)` and `(E, S)`: S = 1, the score of class 1 against
            class 0, with one or two output units, else S = U.

        Raises:
            ValueError: for a layer that is not built.
        """
        require(
            self.built,
            OWNER,
            "`coefficients` needs a layer that is built.",
            built=self.built,
        )
        pair = self._give_signs(self.kernel), self.bias
        kernel, bias = map(ops.convert_to_numpy, pair)
        return np.asarray(kernel), np.asarray(bias)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*row_shape[:-1], self.output_units)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        return math.prod(row_shape) * self._scores

    def widths(self) -> dict[str, Any]:
        """None: the features set the size."""
        return {}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "signs": None if self.signs is None else list(self.signs),
            "initial": self.initial,
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }


def _check_signs(signs: Any, output_units: int) -> list[int] | None:
    if signs is None:
        return None
    found = [int(sign) for sign in signs]
    require(
        all(sign in (-1, 0, 1) for sign in signs),
        OWNER,
        "`signs` must be entries of -1, 0 or 1, or None.",
        signs=found,
    )
    require(
        output_units <= 2 or not any(found),
        OWNER,
        "`signs` must be 0 or None for more than two classes.",
        signs=found,
        output_units=output_units,
    )
    return found
