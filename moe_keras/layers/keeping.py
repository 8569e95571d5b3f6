"""Layers with fewer experts: what stays of a configuration and of weights."""

import math
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import require


class KeepsExperts:
    """What a layer of `num_experts` experts needs to become a smaller one.

    It is made in two steps: `keep` gives a layer that is not built, and
    `copy_kept` its weights, once it is. A subclass whose configuration says
    more about its experts than their number overrides `kept_config`; one with
    experts in layers inside, `inside`; one with weights of all experts in
    common that may be as long as there are experts, `shared_weights`.

    In all methods but `keep`, `indices` are ascending.
    """

    # Which axis of the weights counts the experts.
    expert_axis = 0
    num_experts: int

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        """The configuration of the layer with these experts alone.

        Where it does not say how many there are, there is but one.
        """
        layer: Any = self
        config: dict[str, Any] = layer.get_config()
        if "num_experts" in config:
            config["num_experts"] = len(indices)
        return config

    def keep(self, indices: Sequence[int]) -> Any:
        """A layer of these experts alone, which has no weights of theirs yet.

        Args:
            indices: different integers in 0..E-1, in any order: the experts
                keep theirs.
        """
        layer: Any = self
        owner = type(layer).__name__
        found = read_indices(owner, indices, layer.num_experts)
        return type(layer).from_config(self.kept_config(found))

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        """The layers inside that hold experts, and which of theirs stay.

        None stands for a layer that is one expert. Layers that hold none of
        the experts are left out.
        """
        return []

    def shared_weights(self) -> list[Any]:
        """Those of its own weights that are not one expert's each."""
        axis, count = self.expert_axis, self.num_experts
        return [
            weight
            for weight in own_weights(self)
            if not weight.shape or weight.shape[axis] != count
        ]

    def copy_kept(self, source: Any, indices: Sequence[int]) -> None:
        """Take the weights of the layer that this one was made of.

        Args:
            source: built, as this one is.
            indices: those of `keep`.

        Raises:
            ValueError: for weights that do not fit, as those of a class that
                does not say where its experts are.
        """
        self.copy_own(source, indices)
        mine = self.inside(range(self.num_experts))
        given = source.inside(indices)
        for (ours, _), (theirs, kept) in zip(mine, given, strict=True):
            if kept is None:
                copy_state(theirs, ours)
            else:
                ours.copy_kept(theirs, kept)
        pairs = zip(_others(source), _others(self), strict=True)
        for theirs, ours in pairs:
            copy_state(theirs, ours)

    def copy_own(self, source: Any, indices: Sequence[int]) -> None:
        """The part of `copy_kept` that is not of layers inside."""
        shared = set(map(id, source.shared_weights()))
        for ours, theirs in zip(
            own_weights(self), own_weights(source), strict=True
        ):
            value = ops.convert_to_numpy(theirs)
            if id(theirs) not in shared:
                value = np.take(value, indices, axis=self.expert_axis)
            _check_fit(self, ours, value.shape)
            ours.assign(value)

    def count_kept(self, indices: Sequence[int]) -> int:
        """How many numbers the weights of `keep(indices)`, built, hold."""
        count = self.count_own(indices)
        for layer, kept in self.inside(indices):
            whole = kept is None
            count += _size_of(layer) if whole else layer.count_kept(kept)
        return count + sum(map(_size_of, _others(self)))

    def count_own(self, indices: Sequence[int]) -> int:
        """The part of `count_kept` that is not of layers inside."""
        shared = set(map(id, self.shared_weights()))
        count = 0
        for weight in own_weights(self):
            size = math.prod(weight.shape)
            if id(weight) not in shared:
                size = size // self.num_experts * len(indices)
            count += size
        return count


def read_indices(
    owner: str, indices: Sequence[int], num_experts: int
) -> list[int]:
    """Numbers of experts, ascending.

    Args:
        owner: whom to name in errors.
        indices: different integers in 0..E-1.
        num_experts: int, E.

    Raises:
        ValueError: for others, and for none.
    """
    require(
        isinstance(indices, Sequence | np.ndarray) and len(indices) > 0,
        owner,
        "`indices` must be a list of at least one expert.",
        indices=indices,
    )
    whole = [
        isinstance(index, int | np.integer) and not isinstance(index, bool)
        for index in indices
    ]
    require(
        all(whole) and all(0 <= index < num_experts for index in indices),
        owner,
        f"`indices` must be integers in 0..{num_experts - 1}.",
        indices=list(indices),
    )
    found = sorted(map(int, indices))
    require(
        len(set(found)) == len(found),
        owner,
        "`indices` must name no expert twice.",
        indices=list(indices),
    )
    return found


def serialize_kept(layer: Any, indices: Sequence[int]) -> dict[str, Any]:
    """A layer inside of another, with fewer experts, for a configuration."""
    return _serialize(layer, layer.kept_config(indices))


def serialize_unbuilt(layer: Any) -> dict[str, Any] | None:
    """A layer inside of another, to be built anew; None stays None."""
    return None if layer is None else _serialize(layer, layer.get_config())


def _serialize(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    serialize = keras.saving.serialize_keras_object
    found: dict[str, Any] = {**serialize(layer), "config": serialize(config)}
    # The shapes that it was built with, of which some count experts.
    found.pop("build_config", None)
    return found


def own_weights(layer: Any) -> list[Any]:
    """The weights of a layer, without those of layers inside."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _size_of(layer: Any) -> int:
    # Not `count_params`, for which a layer without weights must be built too.
    return sum(math.prod(weight.shape) for weight in layer.weights)


def _others(layer: Any) -> list[Any]:
    """The layers directly inside that are not within those of experts."""
    own = {
        id(part)
        for held, _ in layer.inside(range(layer.num_experts))
        for part in held._flatten_layers()
    }
    inside = layer._flatten_layers(include_self=False, recursive=False)
    return [part for part in inside if id(part) not in own]


def _check_fit(layer: Any, weight: Any, shape: tuple[int, ...]) -> None:
    require(
        tuple(weight.shape) == tuple(shape),
        type(layer).__name__,
        "a weight does not follow the number of experts as this class says.",
        layer=layer.name,
        weight=weight.name,
        shape=tuple(weight.shape),
        value_shape=tuple(shape),
    )


def copy_state(source: Any, target: Any) -> None:
    """Give a layer what another of the same configuration has learned.

    These are the weights, and what layers keep beside them, as a vocabulary;
    not the states of random generators.

    Args:
        source: built `keras.layers.Layer`.
        target: its clone, built.

    Raises:
        ValueError: for weights of another shape.
    """
    parts = (source._flatten_layers(), target._flatten_layers())
    for theirs, ours in zip(*map(list, parts), strict=True):
        for weight, other in zip(
            own_weights(ours), own_weights(theirs), strict=True
        ):
            _check_fit(ours, weight, other.shape)
        # Not `set_weights`: some layers compute with what they load.
        store: dict[str, Any] = {}
        theirs.save_own_variables(store)
        ours.load_own_variables(
            {name: ops.convert_to_numpy(value) for name, value in store.items()}
        )
        if hasattr(theirs, "save_assets"):
            with TemporaryDirectory() as folder:
                theirs.save_assets(folder)
                ours.load_assets(folder)
