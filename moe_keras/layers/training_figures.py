"""Figures of a layer in training's log, in which Keras knows metrics alone."""

from typing import Any, Protocol

import keras


class Figures(Protocol):
    """What a layer tells of its training.

    Attributes:
        in_training: whether the layer was last called, or traced, in training.
    """

    in_training: bool

    def begin_epoch(self) -> None:
        """An epoch is about to begin."""

    def read(self) -> dict[str, Any]:
        """Scalars by name."""


class TrailingName(str):
    """A name that sorts behind plain ones.

    `train_on_batch` returns a list: metrics that it finds by their names, then
    all others, sorted. Loss and compiled metrics are to come first.
    """

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return isinstance(other, TrailingName) and str.__lt__(self, other)

    def __gt__(self, other: str) -> bool:
        return not isinstance(other, TrailingName) or str.__gt__(self, other)

    def __le__(self, other: str) -> bool:
        return not self > other

    def __ge__(self, other: str) -> bool:
        return not self < other


class FiguresMetric(keras.metrics.Metric):
    """A layer's figures as a metric without a state of its own.

    Only training's log has them: in `evaluate` they would be old figures, and
    would break `loss, accuracy = model.evaluate(...)`.

    Args:
        figures: of the layer.
        prefix: the layer's name, in front of theirs.
    """

    def __init__(self, figures: Figures, prefix: str):
        super().__init__(name=f"{prefix}_figures")
        self._figures = figures
        self._prefix = prefix

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the layer writes, this reads."""

    def reset_state(self) -> None:
        """What Keras calls as an epoch begins."""
        self._figures.begin_epoch()

    def result(self) -> dict[str, Any]:
        if not self._figures.in_training:
            return {}
        return named(self._figures, self._prefix)


def named(figures: Figures, prefix: str) -> dict[str, Any]:
    """Figures as they are called in the log."""
    found = figures.read()
    return {TrailingName(f"{prefix}_{name}"): found[name] for name in found}


def log_figures(figures: Figures, prefix: str) -> FiguresMetric | None:
    """A metric to be an attribute of the layer.

    None on JAX, which hands a compiled step copies of the variables: there the
    callback `moe_keras.training.RoutingLog` reads them.
    """
    if keras.backend.backend() == "jax":
        return None
    return FiguresMetric(figures, prefix)
