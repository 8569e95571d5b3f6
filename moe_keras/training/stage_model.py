"""What is fitted in a stage whose loss asks single experts."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.losses import averaged_loss, expert_losses, mixture_likelihood
from moe_keras.training.stage import Stage

OF_MIXTURES = {
    "averaged": averaged_loss,
    "mixture_likelihood": mixture_likelihood,
}


class StageModel(keras.Model):
    """A view of a model, with the loss of a stage; its metrics are the model's.

    Args:
        model: whose output the metrics read.
        view: what `with_expert_outputs` made of it.
        stage: says the loss.
    """

    def __init__(self, model: keras.Model, view: keras.Model, stage: Stage):
        super().__init__(name=model.name)
        self.view = view
        self.stage = stage
        if hasattr(model, "output_names"):
            # Losses and metrics may be given by these names.
            self.output_names = model.output_names
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.view(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The stage's loss, and what layers added."""
        kind, weights = self.stage.loss, self.stage.expert_weights
        logits = y_pred["expert_logits"]
        labels = _class_numbers(y)
        if kind == "model":
            total = super().compute_loss(
                x, y, y_pred["probabilities"], sample_weight, training
            )
        else:
            total = sum(map(self._aggregate_additional_loss, self.losses))
        if kind in OF_MIXTURES:
            rows = OF_MIXTURES[kind](
                logits, y_pred["gates"], labels, sample_weight
            )
            total = total + ops.mean(rows)
        if kind == "experts" or weights is not None:
            each = expert_losses(logits, labels, weights, sample_weight)
            total = total + ops.mean(ops.sum(each, axis=-1))
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """The metrics of the model's own output."""
        return super().compute_metrics(
            x, y, y_pred["probabilities"], sample_weight
        )


def _class_numbers(y: Any) -> Any:
    """Labels `(B,)`, of `(B,)` or `(B, 1)`."""
    shape = getattr(y, "shape", None)
    require(
        shape is not None
        and (len(shape) == 1 or (len(shape) == 2 and shape[-1] == 1)),
        "fit_stages",
        "losses of experts need labels (B,): numbers of classes.",
        labels_shape=shape,
    )
    return ops.reshape(y, (-1,))
