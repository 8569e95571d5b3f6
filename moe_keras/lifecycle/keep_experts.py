"""A model with some of its experts alone: fewer weights, fewer operations."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.layers import (
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
)
from moe_keras.layers.keeping import copy_state, read_indices
from moe_keras.training.graph import find_layer, graph_of

OWNER = "keep_experts"
# Layers that hold a mixture, or are one.
MIXTURES = (MixtureOfExperts, MoEFeedForward, MoETransformerBlock)


def keep_experts(
    model: keras.Model,
    indices: Sequence[int],
    mixture: keras.layers.Layer | str | None = None,
) -> keras.Model:
    """A smaller model, in which a mixture has only some of its experts.

    The others are removed: the smaller model has fewer weights and computes
    less. It returns what the model returns with `expert_mask` False for the
    others; a gate with `top_k` chooses as many as before, or all that are left.
    Only under `dispatch="capacity"` may it drop other rows than the model does,
    as fewer experts have more places each.

    The model stays as it is. The smaller one has copies of its weights, also
    those of all other layers; it is not compiled, its random generators start
    anew, and so do the running figures of the mixture's routing.

    Args:
        model: functional or sequential `keras.Model`, built.
        indices: different integers in 0..E-1, at least one. Experts are counted
            through all banks and keep their order, whatever that of `indices`;
            a bank that loses all its experts disappears.
        mixture: the `MixtureOfExperts`, `MoEFeedForward` or
            `MoETransformerBlock` in the model's own graph, or its name. None
            where there is only one.

    Returns:
        `keras.Model`, functional, of the same name.

    Raises:
        ValueError: for indices that are none, where there is no such mixture,
            and for gates that cannot do without an expert: `HashGating`, a gate
            that is no `Gate`, and `HierarchicalGating` unless all groups that
            are left keep the same number of experts.
    """
    graph = graph_of(model, OWNER)
    found = find_mixture(graph, mixture, OWNER)
    kept = read_indices(OWNER, indices, found.num_experts)
    # By its place, as a layer may be called several times.
    clones: dict[int, Any] = {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in clones:
            clones[id(layer)] = (
                layer.keep(kept)
                if layer is found
                else type(layer).from_config(layer.get_config())
            )
        return clones[id(layer)]

    smaller = keras.models.clone_model(graph, clone_function=clone)
    for layer in graph.layers:
        twin = clones.get(id(layer))
        if layer is found:
            twin.copy_kept(layer, kept)
        elif twin is not None:
            copy_state(layer, twin)
    return smaller


def find_mixture(
    model: keras.Model,
    mixture: keras.layers.Layer | str | None = None,
    owner: str = "find_mixture",
) -> Any:
    """The layer of a model that holds the mixture that is meant.

    Args:
        model: functional `keras.Model`.
        mixture: see `keep_experts`.
        owner: whom to name in errors.

    Raises:
        ValueError: where there is none, or several.
    """
    return find_layer(model, MIXTURES, mixture, owner, once=False)
