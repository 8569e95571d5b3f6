"""The auxiliary losses that a router adds in training."""

from typing import Any

from keras import ops

from moe_keras.errors import is_number, require
from moe_keras.ops import balance

# For gates that choose.
SPARSE_LOSSES = ("balance_loss", "z_loss")


def check_coefficients(owner: str, **coefficients: float) -> None:
    """Refuse a negative coefficient of a loss."""
    for name, value in coefficients.items():
        require(
            is_number(value) and value >= 0,
            owner,
            f"`{name}` must not be negative.",
            **{name: value},
        )


class RouterLosses:
    """The losses of one call, each times its coefficient, added to a layer.

    Args:
        layer: the gate that the losses are added to.
        chosen: bool `(..., E)`.
        real: float `(...)`.
        in_service: bool, broadcasts to `(..., E)`, or None for all.
    """

    def __init__(
        self,
        layer: Any,
        chosen: Any,
        real: Any,
        in_service: Any,
    ) -> None:
        self._layer = layer
        self._batch = ops.shape(chosen)[0]
        if layer.loss_parts is not None:
            layer.loss_parts.begin(self._batch)
        self.real = ops.reshape(real, (-1,))
        self.chosen = self.flat(chosen)
        self.experts: Any = None
        self._sparse: Any = 1.0
        if in_service is not None:
            if len(in_service.shape) > 1:
                every = ops.ones_like(chosen)
                in_service = self.flat(ops.logical_and(in_service, every))
            self.experts = balance.experts_at_work(
                in_service, self.real, self.real.dtype
            )
            # A layer without the other experts might have no choice to make.
            self._sparse = balance.is_choice(
                self.chosen, self.real, self.experts
            )

    def flat(self, tensor: Any) -> Any:
        """`(..., E)` to `(N, E)`."""
        return ops.reshape(tensor, (-1, tensor.shape[-1]))

    def add(self, name: str, coefficient: float, loss: Any) -> None:
        """Add a loss to the layer.

        Args:
            name: the argument that says its coefficient.
            coefficient: float.
            loss: scalar.
        """
        loss = coefficient * loss
        self._layer.add_loss(loss)
        parts = self._layer.loss_parts
        if parts is not None and name in parts:
            parts.add(name, loss, self._batch)

    def add_balance(self, coefficient: float, shares: Any) -> None:
        """The Switch loss of shares `(..., E)`, for gates that choose."""
        loss = balance.switch_balance_loss(
            self.flat(shares), self.chosen, self.real, self.experts
        )
        self.add("balance_loss", coefficient, self._sparse * loss)

    def add_z(self, coefficient: float, logits: Any, more: Any = 0.0) -> None:
        """The z-loss of logits `(..., E)`, for gates that choose, and more."""
        loss = balance.z_loss(self.flat(logits), self.real) + more
        self.add("z_loss", coefficient, self._sparse * loss)

    def add_importance(self, coefficient: float, gates: Any) -> None:
        loss = balance.importance_loss(
            self.flat(gates), self.real, self.experts
        )
        self.add("importance_loss", coefficient, loss)

    def add_load(self, coefficient: float, probabilities: Any) -> None:
        """Of the probabilities `(..., E)` to be chosen."""
        loss = balance.load_loss(
            self.flat(probabilities), self.real, self.experts
        )
        self.add("load_loss", coefficient, self._sparse * loss)

    def add_mutual_information(self, coefficient: float, shares: Any) -> None:
        """Minus the mutual information of shares `(..., E)`."""
        information = balance.mutual_information(self.flat(shares), self.real)
        self.add("mutual_information_loss", -coefficient, information)

    def add_entropy(self, coefficient: float, shares: Any) -> None:
        loss = balance.entropy_loss(self.flat(shares), self.real)
        self.add("entropy_loss", coefficient, loss)

    def load_step(self) -> Any:
        """Which way the selection's bias goes, `(E,)`."""
        return balance.load_step(self.chosen, self.real, self.experts)
