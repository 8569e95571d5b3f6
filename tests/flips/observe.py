"""What a user sees of a layer, and settings that differ in one argument."""

import keras
import numpy as np

from tests.tools import joined, learn_inputs, numpy_of


def _flip(base, argument, value, **also):
    """Two functions that make the arguments, without and with the flip."""

    def make(value):
        made = {**base, **also}
        made = {k: v() if callable(v) else v for k, v in made.items()}
        return made if value is None else {**made, argument: value()}

    value = value if callable(value) else (lambda value=value: value)
    return lambda: make(None), lambda: make(value)


def flips(base, values, also=None):
    also = also or {}
    return {
        argument: _flip(base, argument, value, **also.get(argument, {}))
        for argument, value in values.items()
    }


def observe(layer_class, make_kwargs, inputs):
    """All that a user could see of a layer, as one list of arrays."""
    keras.utils.set_random_seed(3)
    layer = layer_class(**make_kwargs())
    layer.build(keras.tree.map_structure(lambda array: array.shape, inputs))
    seen = [numpy_of(weight) for weight in layer.weights]
    seen.append(np.asarray([len(layer.trainable_weights)]))
    for weight in layer.trainable_weights:
        values = np.random.default_rng(1).normal(size=weight.shape)
        weight.assign(values)
    learn_inputs(layer, inputs)
    for training in (False, True):
        try:
            outputs = layer(inputs, training=training)
            seen.append(numpy_of(joined(outputs)))
        except Exception as error:
            # Where an argument asks for an error, that is what a user sees.
            if "`overflow` is 'error'" not in str(error):
                raise
            seen.append(np.zeros(0))
        seen += [numpy_of(loss) for loss in layer.losses]
    if hasattr(layer, "resolve_dispatch"):
        seen.append(np.asarray([layer.resolve_dispatch() == "sorted"]))
    return seen


def differ(one, other):
    return len(one) != len(other) or any(
        a.shape != b.shape
        or not np.allclose(a, b, rtol=0, atol=1e-4, equal_nan=True)
        for a, b in zip(
            [x.astype("float64") for x in one],
            [x.astype("float64") for x in other],
            strict=True,
        )
    )
