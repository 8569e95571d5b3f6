"""Gradients of a layer's loss, the same way on every backend."""

import inspect

import keras
import numpy as np
from keras import ops

from tests.tools import BACKEND, joined, numpy_of


def gradients_of(layer, inputs, loss_fn, training=True, **call_kwargs):
    """Differentiate `loss_fn(outputs)` plus the layer's own losses.

    Args:
        layer: built layer or model.
        inputs: tuple of positional arguments, arrays or lists of them.
        loss_fn: from the outputs to a scalar.
        training: bool.
        **call_kwargs: for the layer's call.

    Returns:
        loss: float.
        weights: list of arrays, one for each trainable weight, or None where
            there is no gradient.
        first: array, the gradient of the first input (of each of its tensors,
            if it is a list); None for integers.
    """
    differentiate = {
        "tensorflow": _with_tensorflow,
        "jax": _with_jax,
        "torch": _with_torch,
    }[BACKEND]
    tensors = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    call_kwargs["training"] = training
    loss, weights, first = differentiate(layer, tensors, loss_fn, call_kwargs)
    first = [_array(gradient) for gradient in first]
    listed = isinstance(inputs[0], list)
    return (
        float(numpy_of(loss)),
        [_array(gradient) for gradient in weights],
        first if listed else first[0],
    )


def random_projection(outputs, seed=7):
    """A loss that every output value has a different part in."""
    outputs = joined(outputs)
    shape = tuple(outputs.shape)
    factors = np.random.default_rng(seed).normal(size=shape)
    factors = ops.cast(ops.convert_to_tensor(factors), outputs.dtype)
    return ops.sum(outputs * factors)


def _array(gradient):
    return None if gradient is None else numpy_of(gradient)


def _is_float(tensor):
    """Whether it has a gradient: identifiers have none."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.backend.is_float_dtype(dtype)


def _total(loss_fn, outputs, losses):
    loss = loss_fn(outputs)
    for extra in losses:
        loss = loss + ops.cast(extra, loss.dtype)
    return loss


def _with_tensorflow(layer, inputs, loss_fn, call_kwargs):
    import tensorflow as tf

    first = keras.tree.flatten(inputs[0])
    with tf.GradientTape() as tape:
        for tensor in filter(_is_float, first):
            tape.watch(tensor)
        outputs = layer(*inputs, **call_kwargs)
        loss = _total(loss_fn, outputs, layer.losses)
    variables = layer.trainable_variables
    gradients = tape.gradient(loss, [*variables, *first])
    dense = [
        None if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in gradients
    ]
    return loss, dense[: len(variables)], dense[len(variables) :]


def _with_jax(layer, inputs, loss_fn, call_kwargs):
    import jax

    # `stateless_call` goes to `call`, which need not know of training.
    if "training" not in inspect.signature(layer.call).parameters:
        del call_kwargs["training"]
    states = [state.value for state in layer.non_trainable_variables]

    def compute(variables):
        return total(variables, inputs[0])

    def total(variables, first):
        outputs, _, losses = layer.stateless_call(
            variables,
            states,
            first,
            *inputs[1:],
            return_losses=True,
            **call_kwargs,
        )
        return _total(loss_fn, outputs, losses)

    variables = [variable.value for variable in layer.trainable_variables]
    tensors = keras.tree.flatten(inputs[0])
    if not all(map(_is_float, tensors)):
        loss, weights = jax.value_and_grad(compute)(variables)
        return loss, weights, [None] * len(tensors)
    loss, (weights, first) = jax.value_and_grad(total, argnums=(0, 1))(
        variables, inputs[0]
    )
    return loss, weights, keras.tree.flatten(first)


def _with_torch(layer, inputs, loss_fn, call_kwargs):
    first = [
        tensor.detach().clone().requires_grad_(_is_float(tensor))
        for tensor in keras.tree.flatten(inputs[0])
    ]
    packed = keras.tree.pack_sequence_as(inputs[0], first)
    layer.zero_grad()
    outputs = layer(packed, *inputs[1:], **call_kwargs)
    loss = _total(loss_fn, outputs, layer.losses)
    if loss.requires_grad:
        loss.backward()
    weights = [variable.value.grad for variable in layer.trainable_variables]
    return loss, weights, [tensor.grad for tensor in first]
