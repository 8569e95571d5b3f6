"""Recurrent experts: GRU or LSTM networks that read sequences, or images."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.initializers import FullPrecision
from moe_keras.layers.input_checks import check_mask
from moe_keras.layers.projected_bank import ProjectedBank
from moe_keras.layers.registration import register

# A step of a cell takes this many products of its input and of its state.
CELLS = {"gru": (keras.layers.GRU, 3), "lstm": (keras.layers.LSTM, 4)}


@register
class RecurrentExpert(ProjectedBank):
    """Bank of recurrent networks that read a sequence to its last state.

    An image `(B, H, W, C)` is read as a sequence of its H rows, each of W*C
    features, from top to bottom.

    Args:
        units: int > 0. Width of the state (of each direction's).
        num_experts: int > 0. E. Defaults to `1`.
        cell: `"gru"` or `"lstm"`. Defaults to `"gru"`.
        bidirectional: bool. Read backwards too, and join the two last states.
            Defaults to `False`.
        output_units: int > 0 or None. U, width of a dense map behind the state;
            None for none. Defaults to `None`.
        output_activation: str, callable or None, after the last layer.
            Defaults to `None`.
        dropout: float in [0, 1), on the last state, in training. Defaults to
            `0.0`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, T, D)` or `(B, H, W, C)`.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are sequences sorted
            by expert, and the result has no expert axis.
        mask: bool `(B, T)` or None; steps that are False are passed over.

    Returns:
        float `(B, E, U)`, one slice per expert, not yet weighted, zeros where
        the gate is 0.

    Source: Cho et al. (2014), arXiv:1406.1078 (GRU); Hochreiter & Schmidhuber
        (1997), Neural Computation 9(8) (LSTM); both as in `keras.layers`.

    Example:
    >>> bank = RecurrentExpert(32, num_experts=2)
    >>> bank(np.ones((4, 28, 28, 1), "float32")).shape
    TensorShape([4, 2, 32])
    """

    def __init__(
        self,
        units: int,
        num_experts: int = 1,
        cell: str = "gru",
        bidirectional: bool = False,
        output_units: int | None = None,
        output_activation: Any = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(
            num_experts, output_units, output_activation, dropout, **kwargs
        )
        require(
            is_count(units),
            "RecurrentExpert",
            "`units` must be an integer above 0.",
            units=units,
        )
        require(
            cell in CELLS,
            "RecurrentExpert",
            f"`cell` must be one of {tuple(CELLS)}.",
            cell=cell,
        )
        self.units = units
        self.cell = cell
        self.bidirectional = bidirectional
        self.supports_masking = True
        layer_class, _ = CELLS[cell]
        self._networks = []
        for e in range(num_experts):
            network = layer_class(
                units,
                recurrent_initializer=FullPrecision("orthogonal"),
                dtype=self.dtype_policy,
                name=f"{cell}_{e}",
            )
            if bidirectional:
                network = keras.layers.Bidirectional(
                    network, dtype=self.dtype_policy, name=f"bidirectional_{e}"
                )
            self._networks.append(network)

    def build_trunk(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) in (2, 3) and None not in row_shape[1:],
            "RecurrentExpert",
            "`inputs` must be sequences (B, T, D) or images (B, H, W, C) with "
            "known features, and `gates`, if any, (B, E): a gate over whole "
            "sequences is GatingLayer(level='sample').",
            row_shape=row_shape,
        )
        for network in self._networks:
            network.build((None, row_shape[0], math.prod(row_shape[1:])))

    def split_trunk(self) -> list[Any]:
        return list(self._networks)

    def run_trunk(
        self, trunk: Any, rows: Any, mask: Any, training: bool | None
    ) -> Any:
        check_mask("RecurrentExpert", mask, rows.shape[:2])
        steps = rows.shape[1] or ops.shape(rows)[1]
        sequence = ops.reshape(rows, (-1, steps, math.prod(rows.shape[2:])))
        return trunk(sequence, mask=mask, training=training)

    def trunk_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.units * (2 if self.bidirectional else 1),)

    def count_trunk(self, row_shape: tuple[int, ...]) -> int:
        steps, features = row_shape[0], math.prod(row_shape[1:])
        _, products = CELLS[self.cell]
        one = steps * products * self.units * (features + self.units)
        return one * (2 if self.bidirectional else 1)

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self._networks[index], None) for index in indices]

    def widths(self) -> dict[str, Any]:
        return {"units": self.units}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "cell": self.cell,
            "bidirectional": self.bidirectional,
        }
