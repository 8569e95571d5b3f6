"""All that a training carries from one epoch to the next.

A part of it has `get_state() -> (arrays, facts)`, a list of arrays and what
JSON can hold, and `set_state(arrays, facts)`. Callbacks of your own that have
both are kept too.
"""

import random
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import (
    GLOBAL_SEED_GENERATOR,
    global_seed_generator,
)

from moe_keras.errors import require
from moe_keras.layers.counts import is_count

Arrays = Sequence[np.ndarray]
State = tuple[list[np.ndarray], Any]


@runtime_checkable
class Stateful(Protocol):
    """What can be kept and brought back."""

    def get_state(self) -> State:
        """What it is to go on from."""

    def set_state(self, arrays: Arrays, facts: Any) -> None:
        """Go on from there."""


class ModelState:
    """Weights, the seeds of layers, and the optimizer with its steps.

    Keras' own files of weights leave out the seeds: after a restart dropout,
    noise and augmentation would begin from the first draw again.

    Args:
        model: compiled and built.
    """

    def __init__(self, model: keras.Model):
        self._model = model

    def _variables(self) -> list[Any]:
        optimizer = self._model.optimizer
        if not optimizer.built:
            optimizer.build(self._model.trainable_variables)
        own = [v for v in self._model.variables if not is_count(v)]
        return [*own, *optimizer.variables]

    def get_state(self) -> State:
        return [array_of(variable) for variable in self._variables()], None

    def set_state(self, arrays: Arrays, facts: Any) -> None:
        variables = self._variables()
        require(
            [tuple(v.shape) for v in variables] == [a.shape for a in arrays],
            "ModelState",
            "the checkpoint is of another model; start afresh.",
            found=len(arrays),
            needed=len(variables),
        )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


class RandomState:
    """Python's, NumPy's, Keras' and PyTorch's own sources of chance."""

    def get_state(self) -> State:
        version, keys, gauss = random.getstate()
        name, numpy_keys, *rest = np.random.get_state()  # noqa: NPY002
        arrays = [np.array(keys, "uint32"), np.asarray(numpy_keys)]
        generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        # There is none before the first layer without a seed of its own.
        if generator is not None:
            arrays.append(array_of(generator.state))
        torch_states = _torch_states()
        facts = {
            "python": [version, gauss],
            "numpy": [name, *rest],
            "keras": generator is not None,
            "torch": len(torch_states),
        }
        return [*arrays, *torch_states], facts

    def set_state(self, arrays: Arrays, facts: Any) -> None:
        keys, numpy_keys, *others = arrays
        if facts["keras"]:
            # Made here if need be, which draws from Python's source.
            global_seed_generator().state.assign(others.pop(0))
        if facts["torch"]:
            _set_torch_states(others)
        version, gauss = facts["python"]
        random.setstate((version, tuple(keys.tolist()), gauss))
        name, *rest = facts["numpy"]
        np.random.set_state((name, numpy_keys, *rest))  # noqa: NPY002


def _torch_states() -> list[np.ndarray]:
    """PyTorch's sources, from which Keras' dropout draws there."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy().copy() for state in states]


def _set_torch_states(states: Arrays) -> None:
    if keras.backend.backend() != "torch":
        return
    import torch

    cpu, *gpus = map(torch.from_numpy, states)
    torch.set_rng_state(cpu)
    # On a machine with fewer GPUs nothing can be the same anyway.
    if len(gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(gpus)


def array_of(variable: Any) -> np.ndarray:
    """A copy of a variable's value, as an array that NumPy can write.

    bfloat16 goes as float32, which holds all of its values.
    """
    # PyTorch, and JAX on the CPU, may hand out their own memory.
    array = np.array(keras.ops.convert_to_numpy(variable))
    return array if array.dtype.isbuiltin == 1 else array.astype("float32")
