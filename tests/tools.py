"""Small helpers that many tests share."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import NGramExpert, TabularEncoding

BACKEND = keras.backend.backend()
# Absolute tolerance of a float32 comparison whose values are near 1.
CLOSE = 1e-5

only_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="about TensorFlow"
)
not_jax = pytest.mark.skipif(
    BACKEND == "jax", reason="JAX has static shapes and no float64"
)


def operations(graph):
    """The types of a graph's operations, those inside functions included."""
    definition = graph.as_graph_def()
    inside = [node for f in definition.library.function for node in f.node_def]
    return {node.op for node in [*definition.node, *inside]}


def draw(*shape, seed=0, dtype="float32"):
    """Standard normal values, the same ones every time."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def numpy_of(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def joined(outputs):
    """Of a dict of tensors, all side by side; else what it is."""
    if not isinstance(outputs, dict):
        return outputs
    return ops.concatenate([outputs[n] for n in sorted(outputs)], axis=-1)


def joined_shape(shape):
    """That of `joined`, by the shapes of its parts."""
    if not isinstance(shape, dict):
        return tuple(shape)
    (leading,) = {tuple(part[:-1]) for part in shape.values()}
    return (*leading, sum(part[-1] for part in shape.values()))


def randomize(layer, seed=1, scale=0.5):
    """Fill every trainable weight, biases too, so that each one matters."""
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * scale)
    return layer


def know_ngrams(layer, ids, seed=2):
    """Have the banks of n-grams in a layer know those of texts, at random."""
    rng = np.random.default_rng(seed)
    for part in layer._flatten_layers():
        if isinstance(part, NGramExpert):
            keys = np.unique(
                numpy_of(part.read_keys(ops.convert_to_tensor(ids)))
            )
            part.know(keys[keys > 0][: part.max_ngrams - 1])
            if not part.folded:
                part.ratios.assign(rng.normal(size=part.ratios.shape))
    return layer


def learn_inputs(layer, inputs):
    """Have the parts of a layer that learn from inputs, apart from training."""
    know_ngrams(layer, inputs)
    for part in layer._flatten_layers():
        if isinstance(part, TabularEncoding):
            part.adapt(inputs)
    return layer


def weights_by_name(layer):
    return {weight.name: numpy_of(weight) for weight in layer.weights}


def random_gates(shape, seed=0, share=0.5):
    """Gates in [0, 1]; about `share` of them are 0."""
    rng = np.random.default_rng(seed)
    gates = rng.uniform(0.1, 1.0, size=shape)
    return (gates * (rng.uniform(size=shape) >= share)).astype("float32")


def assert_close(actual, expected, atol=CLOSE, rtol=CLOSE):
    if not isinstance(actual, np.ndarray):
        actual = numpy_of(actual)
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


def without_build_config(config):
    """Keras notes in the config of an inner layer whether it was built."""
    if isinstance(config, dict):
        return {
            key: without_build_config(value)
            for key, value in config.items()
            if key != "build_config"
        }
    if isinstance(config, list):
        return [without_build_config(value) for value in config]
    return config
