"""Gates that choose all experts for a while: from dense to sparse."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from moe_keras.layers import GatingLayer, MixtureOfExperts


@contextmanager
def dense_gates(model: keras.Model, wanted: bool = True) -> Iterator[None]:
    """Inside, every `GatingLayer` of the model's mixtures weighs all experts.

    A sparse gate learns nothing about the experts that it does not choose. One
    that has weighed all of them chooses those that it weighed most. What the
    model has compiled of one kind of gate is forgotten before the other.

    Args:
        model: built `keras.Model`.
        wanted: whether to do anything at all.

    Source: Nie et al. (2021), EvoMoE, arXiv:2112.14397: gates that are dense
        first and sparse at last.
    """
    routers = [
        router
        for layer in model._flatten_layers()
        if isinstance(layer, MixtureOfExperts)
        and isinstance(router := layer.gate.find_router(), GatingLayer)
        and router.is_sparse
    ]
    if not wanted or not routers:
        yield
        return
    before = [(router.top_k, router.top_p) for router in routers]
    try:
        for router in routers:
            router.top_k, router.top_p = router.num_experts, None
        _forget(model)
        yield
    finally:
        for router, settings in zip(routers, before, strict=True):
            router.top_k, router.top_p = settings
        _forget(model)


def _forget(model: keras.Model) -> None:
    model.train_function = None
    model.test_function = None
    model.predict_function = None
