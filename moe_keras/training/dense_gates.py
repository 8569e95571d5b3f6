"""Gates that choose all experts for a while: from dense to sparse."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import keras

from moe_keras.layers import GatingLayer, MixtureOfExperts
from moe_keras.layers.fixed_arguments import changed


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
    try:
        with ExitStack() as stack:
            for router in routers:
                every = changed(router, top_k=router.num_experts, top_p=None)
                stack.enter_context(every)
            _forget(model)
            yield
    finally:
        _forget(model)


def _forget(model: keras.Model) -> None:
    model.train_function = None
    model.test_function = None
    model.predict_function = None
