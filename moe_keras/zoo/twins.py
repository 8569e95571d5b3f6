"""Dense twins: what a mixture must beat to be worth its experts.

A twin is the same model with each mixture replaced by one dense expert: of
equal active multiply-adds (does routing buy anything for the same compute?) or
of equal parameters (is it more than a way to have fewer multiply-adds?).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import ExpertBank, MixtureOfExperts, MoEFeedForward
from moe_keras.ops.cost import (
    count_layer,
    count_multiply_adds,
    shapes_of_calls,
)
from moe_keras.ops.model_inputs import copy_inputs

MATCHES = ("active", "parameters")


def dense_twin(
    model: keras.Model,
    match: str = "active",
    bank: int | str = 0,
    expert_load: Mapping[str, Sequence[float]] | None = None,
) -> keras.Model:
    """A dense network as large as a mixture model, with new weights.

    Args:
        model: functional `keras.Model` with one or more `MixtureOfExperts` or
            `MoEFeedForward`.
        match: `"active"` for equal active multiply-adds per example (gate and
            fusion included), `"parameters"` for equally many weights.
        bank: int or str. Which bank of the mixture gives the twin's expert its
            kind, by its place or its name; its widths (hidden units, filters,
            state) are scaled together. A name may be that of a bank inside
            another, as in `EmbeddedExperts`, of which a place means the first.
        expert_load: see `count_multiply_adds`: the measured load, where experts
            of different cost share one sparse gate.

    Returns:
        `keras.Model`, not compiled. Widths are whole numbers, so the match is
        as near as they allow: see `count_multiply_adds` and `count_params`.

    Raises:
        ValueError: when there is no mixture in the model, or its bank has no
            widths to scale (`ModelExpert`), or none has the name.
    """
    require(
        match in MATCHES,
        "dense_twin",
        f"`match` must be one of {MATCHES}.",
        match=match,
    )
    costs = (
        count_multiply_adds(model, expert_load=expert_load).layers
        if match == "active"
        else {}
    )
    shapes = shapes_of_calls(model)
    replaced = []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, MixtureOfExperts | MoEFeedForward):
            return type(layer).from_config(layer.get_config())
        replaced.append(layer.name)
        target = (
            layer.count_params()
            if match == "parameters"
            else costs[layer.name].active
        )
        return _dense_expert(layer, shapes[layer.name][0], match, bank, target)

    twin = keras.models.clone_model(
        model,
        # Of a sequential model, Keras makes them itself.
        None if isinstance(model, keras.Sequential) else copy_inputs(model),
        clone_function=clone,
    )
    require(
        replaced,
        "dense_twin",
        "`model` must hold a MixtureOfExperts or MoEFeedForward layer.",
        model=model.name,
    )
    twin.name = f"{model.name}_{match}_twin"
    return twin


def _dense_expert(
    mixture: Any,
    inputs_shape: tuple[int | None, ...],
    match: str,
    bank: int | str,
    target: float,
) -> keras.Model:
    """One expert as large as `target` says, in the place of the mixture.

    A shared expert and a linear map beside the mixture become part of it.
    Sizes are those at `inputs_shape`.
    """
    routed = mixture
    if isinstance(mixture, MoEFeedForward):
        routed = mixture.mixture
    pattern = _pattern(routed.experts, bank)
    require(
        pattern.widths(),
        "dense_twin",
        "the bank has no widths to scale; name another with `bank`, or give "
        "the class of this one a method `widths`.",
        bank=pattern.name,
        kind=type(pattern).__name__,
    )

    def size(expert: ExpertBank) -> float:
        if match == "active":
            return count_layer(expert, [inputs_shape]).active
        expert.build(inputs_shape)
        return float(expert.count_params())

    expert = _scale_to(pattern, target, size)
    # As the graph has them: with open lengths, if there are.
    open_shape = tuple(mixture.input.shape)
    inputs = keras.Input(open_shape[1:], dtype=mixture.input.dtype)
    output_shape = mixture.compute_output_shape(open_shape)[1:]
    # At most one size may be left open; it is the number of positions.
    shape = tuple(-1 if length is None else length for length in output_shape)
    outputs = keras.layers.Reshape(shape, name="drop_expert_axis")(
        expert(inputs)
    )
    return keras.Model(inputs, outputs, name=mixture.name)


def _pattern(banks: Sequence[ExpertBank], bank: int | str) -> ExpertBank:
    """The bank that the twin is to be of the kind of."""
    if isinstance(bank, int) and -len(banks) <= bank < len(banks):
        return banks[bank]
    found = [part for part in (one.find(str(bank)) for one in banks) if part]
    require(
        found,
        "dense_twin",
        "`bank` must be the place or the name of a bank.",
        bank=bank,
        banks=[one.name for one in banks],
    )
    return found[0]


def _scale_to(
    pattern: ExpertBank, target: float, size: Callable[[ExpertBank], float]
) -> ExpertBank:
    """The bank of one expert whose size is nearest to the target."""
    widest = max(
        max(width) if isinstance(width, tuple) else width
        for width in pattern.widths().values()
    )

    def scaled(steps: int) -> ExpertBank:
        return pattern.single_expert(steps / widest)

    low, high = 1, 2
    while size(scaled(high)) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if size(scaled(middle)) < target:
            low = middle
        else:
            high = middle
    nearest: Any = min(
        (low, high), key=lambda steps: abs(size(scaled(steps)) - target)
    )
    return scaled(nearest)
