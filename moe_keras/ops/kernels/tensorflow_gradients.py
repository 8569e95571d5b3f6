"""A gradient of one's own that goes when its graph goes.

`tf.custom_gradient` enters one in a table of the whole process for each time
that a function is traced, and the entry holds on to the graph: a process that
traces again and again, as one that builds models, grows until it is killed.
Here the gradient is noted at the operation itself. The names in TensorFlow that
this takes are not documented; without them the gradient is TensorFlow's own,
which is as right, but slower, and XLA may fail at it.
"""

import tensorflow as tf
from tensorflow.python.eager import record


def linear(forward, adjoint, source):
    """`forward(source)`, a linear map whose gradient is `adjoint`.

    Args:
        forward: from a tensor to a list of tensors.
        adjoint: from the gradients of these to that of the source.
        source: float tensor.
    """
    if tf.executing_eagerly():
        # Without a graph, nothing is held on to.
        return list(
            tf.custom_gradient(lambda x: (tuple(forward(x)), adjoint))(source)
        )
    results = forward(source)
    count = len(results)
    # The source is handed through, so that it counts as an input.
    passed = tf.identity_n([*results, source])

    def gradient(*gradients):
        return [None] * count + [adjoint(*gradients[:count])]

    # The first is asked where a function is differentiated as a whole, the
    # second by a `tf.GradientTape` within it.
    passed[0].op._gradient_function = lambda _, *given: gradient(*given)
    record.record_operation("linear", passed, [*results, source], gradient)
    return passed[:count]
