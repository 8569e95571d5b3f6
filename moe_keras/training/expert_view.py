"""A model that also returns what each of its experts says.

The losses of single experts need labels, the experts' outputs and the gates,
but a mixture shows its fused result alone. The view runs the same layers, and
has the mixture show them all, in one pass.
"""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers import MixtureOfExperts
from moe_keras.layers.gates_record import record_outputs
from moe_keras.ops.scaling import widen
from moe_keras.training.graph import calls_of, find_layer, graph_of

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
    _check_shapes(graph, watched)
    return _ExpertView(graph, watched, from_logits)


class _ExpertView(keras.Model):
    """A model that returns its output, expert logits and gates."""

    def __init__(
        self, graph: keras.Model, mixture: MixtureOfExperts, from_logits: bool
    ):
        super().__init__(name=f"{graph.name}_experts")
        self.graph = graph
        self.mixture = mixture
        self.from_logits = from_logits
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        with record_outputs(self.mixture) as record:
            output = self.graph(inputs, training=training)
        logits = widen(record.outputs)
        if not self.from_logits:
            tiny = keras.backend.epsilon()
            logits = ops.log(ops.maximum(logits, tiny))
        return {
            "probabilities": output,
            "expert_logits": logits,
            "gates": record.gates,
        }


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


def _check_shapes(graph: keras.Model, mixture: MixtureOfExperts) -> None:
    """Refuse experts that speak of something else than the model's classes."""
    (node,) = (
        node
        for node in calls_of(graph, MixtureOfExperts)
        if node.operation is mixture
    )
    rows, fused = node.input_tensors[0], node.outputs[0]
    (*_, bank) = mixture.experts
    said = bank.compute_output_shape(rows.shape)[2:]
    expert_shape = (None, mixture.num_experts, *said)
    require(
        len(fused.shape) == 2 and len(expert_shape) == 3,
        OWNER,
        "the mixture must have gates (B, E), and experts that return vectors.",
        mixture=mixture.name,
        output_shape=tuple(fused.shape),
    )
    shape = getattr(graph.output, "shape", None)
    require(
        shape is not None
        and len(shape) == 2
        and shape[-1] == expert_shape[-1] > 1,
        OWNER,
        "the experts must return a value for each class of the model's output.",
        output_shape=shape,
        expert_shape=expert_shape,
    )
