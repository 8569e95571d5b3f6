"""Experts that read a table's rows: an encoding, and banks behind it."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import EXAMPLE
from moe_keras.layers.calls import call_with
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.registration import register
from moe_keras.layers.wrapped_banks import WrappedBanks
from moe_keras.ops.cost import count_layer

OWNER = "EncodedExperts"


@register
class EncodedExperts(WrappedBanks):
    """Banks over features, behind one encoding of a table's rows, as one bank.

    The layer that makes features of a row is shared by the inner banks, which
    read the features. Their expert axes are joined in the order of the list.
    Where experts are chosen, only their rows are encoded and run. So banks of
    different encodings, and banks that read the row itself, can stand side by
    side under one gate.

    Args:
        experts: `ExpertBank` or a list of them, whose experts read features
            `(..., F)`, such as `DenseExpert` and `LinearExpert`.
        encoding: layer from rows `(..., D)` to features `(..., F)`, such as
            `TabularEncoding`; each bank of this kind needs one of its own.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`, which are not cast to the compute dtype in
            front of the encoding: see `TabularEncoding`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes, dispatch, experts: see `ExpertBank`.

    Returns:
        float `(..., E, *R)`, R the shape of one inner expert's output; zeros
        where the gate is 0.

    Example:
    >>> encoding = TabularEncoding([None, 3], bins=4)
    >>> bank = EncodedExperts(DenseExpert(2, 4, hidden_units=16), encoding)
    >>> bank(np.ones((8, 2), "float32")).shape
    TensorShape([8, 4, 2])
    """

    row_rank = 1
    needs_floats = True
    keeps_rows = True
    layer_arguments = ("experts", "encoding")

    def __init__(
        self, experts: Any, encoding: keras.layers.Layer, **kwargs: Any
    ):
        super().__init__(experts, EXAMPLE, autocast=False, **kwargs)
        require(
            isinstance(encoding, keras.layers.Layer),
            OWNER,
            "`encoding` must be a Keras layer, such as TabularEncoding.",
            encoding=encoding,
        )
        self.encoding = encoding
        self.reads_samples = self.banks.reads_samples
        self.can_pick = self.banks.can_pick

    def build_shared(self, row_shape: tuple[int | None, ...]) -> None:
        if not self.encoding.built:
            self.encoding.build((None, *row_shape))

    def prepare(
        self, rows: Any, mask: Any, training: bool | None
    ) -> tuple[Any, Any]:
        features = call_with(self.encoding, rows, training=training)
        return ops.cast(features, self.compute_dtype), mask

    def prepared_shape(self, shape: Any) -> tuple[int | None, ...]:
        # An encoding wants an axis in front of a row's.
        inputs_shape = (None, *shape)
        return tuple(self.encoding.compute_output_shape(inputs_shape))[1:]

    def count_shared(self, inputs_shape: Any) -> int:
        return count_layer(self.encoding, [tuple(inputs_shape)]).total

    def with_bank(self, bank: ExpertBank) -> "WrappedBanks":
        """A new layer like this around another bank.

        What the encoding has learned apart from training, its edges, goes with
        it.
        """
        made: Any = super().with_bank(bank)
        if self.encoding.built:
            if not made.encoding.built:
                config = self.encoding.get_build_config()
                made.encoding.build_from_config(config)
            for ours, theirs in zip(
                self.encoding.non_trainable_variables,
                made.encoding.non_trainable_variables,
                strict=True,
            ):
                theirs.assign(ours)
        return made

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {**super().get_config(), "encoding": serialize(self.encoding)}
