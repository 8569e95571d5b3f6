"""A model that also returns what each of its experts says.

The losses of single experts need labels, the experts' outputs and the gates,
but a mixture shows its fused result alone. The view is a second graph over the
same layers in which the mixture shows them all, in one pass.
"""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers import MixtureOfExperts
from moe_keras.layers.gates_record import record_outputs
from moe_keras.ops.model_inputs import copy_inputs
from moe_keras.ops.scaling import widen
from moe_keras.training.graph import find_layer, graph_of

OWNER = "with_expert_outputs"


def with_expert_outputs(
    model: keras.Model,
    mixture: MixtureOfExperts | str | None = None,
    from_logits: bool = True,
) -> keras.Model:
    """A view of a classifier, over the same layers and variables.

    All experts run on all rows, whatever the gate chose: only so can an expert
    learn where it is not chosen yet. The result is the model's own, but for
    `dispatch="capacity"`, since nothing is dropped here, and for batch
    statistics in experts, which are of all rows. In training the mixture's
    routing figures and the losses of the gate are kept as by the model itself.

    The view is for training, and is not saved; the model is as before.

    Args:
        model: functional or sequential `keras.Model`, built, with one output
            `(B, C)`.
        mixture: the `MixtureOfExperts` in the model's own graph, or its name,
            whose experts return `(B, E, C)`, a value for each class, and whose
            gates are `(B, E)`. None where there is only one.
        from_logits: whether the experts return logits; False for
            probabilities, of which the view takes the log.

    Returns:
        `keras.Model`, not compiled, from the model's inputs to a dict:
        `probabilities`: the model's own output `(B, C)`; `expert_logits`: float
        `(B, E, C)`, at least float32, also where the gate is 0; `gates`: float
        `(B, E)`.

    Raises:
        ValueError: where there is no such mixture, for gates of positions, and
            for experts whose outputs are no values of classes.
    """
    graph = graph_of(model, OWNER)
    watched = find_layer(graph, (MixtureOfExperts,), mixture, OWNER)
    _check_activations(watched, from_logits)
    seen: list[tuple[Any, Any]] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer is not watched:
            return layer(*args, **kwargs)
        outputs, *others = _Watched(watched, from_logits)(*args, **kwargs)
        seen.append(tuple(others))
        return outputs

    copy = keras.models.clone_model(
        graph,
        copy_inputs(graph),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    ((logits, gates),) = seen
    _check_shapes(copy.output, logits, gates)
    return keras.Model(
        copy.input,
        {
            "probabilities": copy.output,
            "expert_logits": logits,
            "gates": gates,
        },
        name=f"{model.name}_experts",
    )


class _Watched(keras.layers.Layer):
    """A mixture that returns `[fused, expert logits, gates]`."""

    def __init__(self, mixture: MixtureOfExperts, from_logits: bool):
        super().__init__(
            autocast=False,
            dtype=mixture.dtype_policy,
            name=f"{mixture.name}_watched",
        )
        self.mixture = mixture
        self.from_logits = from_logits
        self.supports_masking = True
        self.supports_jit = mixture.supports_jit
        self.built = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> list[Any]:
        with record_outputs(self.mixture) as record:
            fused = self.mixture(
                inputs, mask=mask, expert_mask=expert_mask, training=training
            )
        require(
            len(fused.shape) == 2 and len(record.outputs.shape) == 3,
            OWNER,
            "the mixture must have gates (B, E), and experts that return "
            "vectors.",
            mixture=self.mixture.name,
            output_shape=tuple(fused.shape),
        )
        logits = widen(record.outputs)
        if not self.from_logits:
            tiny = keras.backend.epsilon()
            logits = ops.log(ops.maximum(logits, tiny))
        return [fused, logits, record.gates]

    def compute_mask(self, inputs: Any, mask: Any = None) -> list[Any]:
        """None of the three has positions."""
        return [None, None, None]


def _check_activations(mixture: MixtureOfExperts, from_logits: bool) -> None:
    for bank in mixture.experts:
        activation = getattr(bank, "output_activation", None)
        require(
            not from_logits or activation is not keras.activations.softmax,
            OWNER,
            "experts that end in a softmax need `from_logits=False`.",
            bank=bank.name,
            from_logits=from_logits,
        )


def _check_shapes(output: Any, logits: Any, gates: Any) -> None:
    """Refuse experts that speak of something else than the model's classes."""
    shape = getattr(output, "shape", None)
    require(
        shape is not None
        and len(shape) == 2
        and shape[-1] == logits.shape[-1] > 1,
        OWNER,
        "the experts must return a value for each class of the model's output.",
        output_shape=shape,
        expert_shape=tuple(logits.shape),
    )
