"""A model cut at its mixture: what the experts say, and what is made of it."""

from typing import Any, NamedTuple

import keras
from keras import ops

from moe_keras.layers import MixtureOfExperts
from moe_keras.layers.calls import call_with
from moe_keras.layers.gates_record import record_outputs, record_scores


class Parts(NamedTuple):
    """The two parts of a model, over its own layers.

    Attributes:
        front: from the model's inputs to a dict: `outputs` `(P..., E, *R)`, of
            every expert; `scores` `(P..., E)`, the router's logits, zeros where
            there are none; `heard` bool `(P...)`, False for padding; `shared`
            `(P..., *R)`, the shared path, zeros without one; `side_0`, ...:
            other tensors that the rest of the model reads.
        back: from `[fused, side_0, ...]` to the model's output, or None where
            what is fused is the output.
    """

    front: keras.Model
    back: keras.Model | None


def split_graph(graph: keras.Model, mixture: MixtureOfExperts) -> Parts | None:
    """Cut a model.

    Args:
        graph: functional, with one output; the mixture is called once in it.
        mixture: where to cut.

    Returns:
        None where masks or strings go around or through the mixture, as these
        do not survive the cut.
    """
    seen: dict[str, Any] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer is not mixture:
            return layer(*args, **kwargs)
        found = _Watched(mixture)(*args, **kwargs)
        names = ("fused", "outputs", "scores", "heard", "shared")
        seen.update(zip(names, found, strict=True))
        seen["mask"] = mixture.compute_mask(
            args[0], getattr(args[0], "_keras_mask", None)
        )
        return seen["fused"]

    copy = keras.models.clone_model(
        graph, clone_function=lambda layer: layer, call_function=call
    )
    fused, mask = seen.pop("fused"), seen.pop("mask")
    sides = _sides(copy, fused)
    lost = [getattr(tensor, "_keras_mask", None) for tensor in sides]
    if mask is not None or any(found is not None for found in lost):
        return None
    if any(tensor.dtype == "string" for tensor in sides):
        return None
    seen.update({f"side_{i}": tensor for i, tensor in enumerate(sides)})
    front = keras.Model(copy.input, seen)
    if copy.output is fused:
        return Parts(front, None)
    return Parts(front, keras.Model([fused, *sides], copy.output))


def _sides(graph: keras.Model, fused: Any) -> list[Any]:
    """What the nodes behind a tensor read that is not made of it."""
    behind, found = {id(fused)}, {}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not any(id(tensor) in behind for tensor in node.input_tensors):
                continue
            behind.update(map(id, node.output_tensors))
            for tensor in node.input_tensors:
                if id(tensor) not in behind:
                    found[id(tensor)] = tensor
    return list(found.values())


class _Watched(keras.layers.Layer):
    """A mixture that returns what `Parts` tells, behind what it fused."""

    def __init__(self, mixture: MixtureOfExperts):
        super().__init__(
            autocast=False,
            dtype=mixture.dtype_policy,
            name=f"{mixture.name}_watched",
        )
        self.mixture = mixture
        self.supports_masking = True
        self.supports_jit = mixture.supports_jit
        self.built = True

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> list[Any]:
        mixture = self.mixture
        context = {"mask": mask, "training": training}
        router = mixture.gate.find_router()
        with record_outputs(mixture) as record, record_scores(router) as scores:
            fused = mixture(inputs, **context)
        row_rank = len(record.outputs.shape) - 2
        leading = ops.shape(fused)[: len(fused.shape) - row_rank]
        outputs = ops.reshape(
            record.outputs, (*leading, *ops.shape(record.outputs)[1:])
        )
        gates = ops.reshape(record.gates, (*leading, mixture.num_experts))
        shared = ops.zeros_like(fused)
        if mixture.shared is not None:
            shared = call_with(mixture.shared, inputs, **context)
        return [
            fused,
            outputs,
            scores[0] if scores else ops.zeros_like(gates),
            ops.any(gates != 0, axis=-1),
            shared,
        ]

    def compute_mask(self, inputs: Any, mask: Any = None) -> list[Any]:
        """What is behind the cut sees none."""
        return [None] * 5
