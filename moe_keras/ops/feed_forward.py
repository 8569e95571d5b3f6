"""The feed-forward formula of dense experts, for any product of rows."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from moe_keras.ops import kernels


def feed_forward(
    rows: Any,
    layers: Sequence[tuple[Any, Any]],
    product: Callable[[Any, Any], Any],
    activation: Callable[[Any], Any],
    dropout: Callable[[Any], Any],
    gated: bool = False,
) -> Any:
    """One dense layer, `a(x W + b)`, or two, `a(x W + b) V + c`.

    With `gated`, the first of two layers is a gated linear unit: its 2H columns
    are the halves W and V of `a(x W + b) * (x V + d)`.

    Args:
        rows: float `(..., D)`.
        layers: one or two pairs of a kernel and a bias; a bias may be None.
        product: called as `product(rows, kernel)`.
        activation: element-wise, after the first layer.
        dropout: of the values in front of the last layer.
        gated: bool.

    Returns:
        float `(..., U)`.

    Source: Shazeer (2020), arXiv:2002.05202, eq. 5 and 6 (gated).
    """
    last = len(layers) - 1
    for depth, (kernel, bias) in enumerate(layers):
        if depth == last:
            rows = dropout(rows)
        rows = product(rows, kernel)
        if bias is not None:
            rows = add_bias(rows, bias)
        if depth == 0 and gated:
            rows = kernels.gate_linear(rows, activation)
        elif depth == 0:
            rows = activation(rows)
    return rows


def add_bias(rows: Any, bias: Any) -> Any:
    """`rows + bias`, in the form that TensorFlow fuses with the product.

    `ops.add` makes that form of whatever looks like a vector, on the axis that
    has its length: right for one expert's bias, wrong for a bank of them.

    Args:
        rows: float `(..., U)`.
        bias: float, broadcasts to the rows.
    """
    return ops.add(rows, bias) if len(bias.shape) == 1 else rows + bias


def draw_halves(
    initializer: Any, shape: Sequence[int], dtype: Any = None
) -> Any:
    """Draw `(E, D, 2H)` as two kernels `(D, H)` for each expert.

    The fans are those of one kernel, and an initializer with a seed does not
    make the two equal.

    Args:
        initializer: for a bank, called as `initializer(shape, dtype=dtype)`.
        shape: (E, D, 2H).
        dtype: of the result.
    """
    count, rows, columns = shape
    both = initializer((2 * count, rows, columns // 2), dtype=dtype)
    return ops.concatenate([both[:count], both[count:]], axis=-1)
