"""Prior correction: class shares of the training against those to be served."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.input_checks import ReadsOneTensor, check_floats
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.scaling import widen

OWNER = "PriorCorrection"
# How far shares may sum from 1, as those that were written down by hand.
TOLERANCE = 1e-3


@register
class PriorCorrection(ReadsOneTensor, keras.layers.Layer):
    """log p'(c) = log p(c) + log(prior_c / train_prior_c), normalised.

    A model that was trained on rows of which a third was bad, or whose bad rows
    had a larger weight, finds a third bad wherever it goes. This says how
    likely each class is where shares are others but the rows of each class are
    like those of the training. It moves nothing in training, where the loss
    would learn to undo it; nor does it change the order of rows of two classes.

    Args:
        train_prior: C floats > 0 that sum to 1: the class shares of the
            training, each row counted with its weight.
        prior: the same of the rows to be served; None for those of the
            training, which change nothing until
            `moe_keras.training.fit_prior` estimates others. They are a weight
            of the layer, which `fit` leaves alone. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., C)`, logits or log-probabilities of C classes.
        training: bool or None.

    Returns:
        float `(..., C)`: log-probabilities, computed in at least float32.

    Source: Saerens, Latinne & Decaestecker (2002), Adjusting the outputs of a
        classifier to new a priori probabilities, Neural Computation 14(1);
        Elkan (2001), The foundations of cost-sensitive learning, IJCAI, section
        3, for two classes.

    Example:
    >>> layer = PriorCorrection(train_prior=[0.5, 0.5], prior=[0.9, 0.1])
    >>> ops.exp(layer(np.zeros((1, 2))))
    [[0.9, 0.1]]
    """

    def __init__(
        self,
        train_prior: Sequence[float],
        prior: Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.train_prior = check_prior(OWNER, "train_prior", train_prior)
        count = len(self.train_prior)
        self.prior = (
            None if prior is None else check_prior(OWNER, "prior", prior, count)
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        require(
            input_shape[-1] == len(self.train_prior),
            OWNER,
            f"`inputs` must be logits (..., {len(self.train_prior)}), one for "
            "each class.",
            input_shape=tuple(input_shape),
        )
        self.shares = self.add_weight(
            (len(self.train_prior),),
            keras.initializers.Constant(self.prior or self.train_prior),
            dtype="float32",
            trainable=False,
            autocast=False,
            name="prior",
        )

    def set_prior(self, prior: Any) -> None:
        """Set the class shares of the rows to be served.

        Args:
            prior: C floats > 0 that sum to 1.

        Raises:
            ValueError: for others.
        """
        shares = check_prior(OWNER, "prior", prior, len(self.train_prior))
        self.shares.assign(shares)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        check_floats(OWNER, inputs)
        logits = widen(inputs)
        if not training:
            trained = ops.convert_to_tensor(self.train_prior, "float32")
            odds = ops.log(ops.convert_to_tensor(self.shares))
            odds = odds - ops.log(trained)
            logits = logits + ops.cast(odds, logits.dtype)
        found = ops.log_softmax(logits, axis=-1)
        return ops.cast(found, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Nothing: a sum for each class, as with a bias."""
        return Cost(0, 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "train_prior": list(self.train_prior),
            "prior": None if self.prior is None else list(self.prior),
        }


def check_prior(
    owner: str, name: str, values: Any, count: int | None = None
) -> list[float]:
    """Class shares as floats that sum to 1.

    Args:
        owner: whom to name in errors.
        name: of the argument.
        values: floats > 0 that sum to 1, but for rounding.
        count: int, how many there must be; None for any above 1.

    Raises:
        ValueError: for others.
    """
    try:
        shares = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        shares = np.empty(0)
    many = "two or more" if count is None else str(count)
    require(
        shares.ndim == 1
        and len(shares) == (count or len(shares))
        and len(shares) > 1
        and bool(np.isfinite(shares).all())
        and bool((shares > 0).all())
        and abs(shares.sum() - 1) <= TOLERANCE,
        owner,
        f"`{name}` must be the shares of {many} classes, above 0, that sum to "
        "1.",
        **{name: values},
    )
    return [float(share) for share in shares / shares.sum()]
