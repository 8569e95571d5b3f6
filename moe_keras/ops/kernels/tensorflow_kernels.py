"""TensorFlow: data-dependent shapes are fine outside XLA.

`tf.split` along the first axis and `tf.unstack` hand out views of their input,
so neither the rows nor the kernels are copied on the way to the matmuls.
Unstacking once also keeps the backward pass linear in E: slicing `kernels[e]`
in a loop would build a zero tensor of the whole bank for every expert.
"""

import tensorflow as tf

from moe_keras.ops.kernels.tensorflow_gradients import linear
from moe_keras.ops.kernels.traced_kernels import finite_rows as finite_rows
from moe_keras.ops.kernels.traced_kernels import gate_linear as gate_linear
from moe_keras.ops.kernels.traced_kernels import product as product

DYNAMIC_SHAPES = True


def first_rows(index, count):
    return index[:count]


def split_rows(rows, sizes, num_groups):
    return tf.split(rows, sizes, num=num_groups)


def busy_groups(sizes):
    return None


def unstack(weights):
    return tf.unstack(weights)


def fetch(weights, places):
    # A slice of the first axis is a view; `tf.gather` would copy the kernels.
    numbers = tf.unstack(places)
    bank = tf.convert_to_tensor(weights)

    def gradient(*parts):
        return tf.math.unsorted_segment_sum(
            tf.stack(parts), places, bank.shape[0]
        )

    return linear(lambda x: [x[number] for number in numbers], gradient, bank)


def count_groups(groups, num_groups):
    # What is not below `maxlength` is left out.
    return tf.math.bincount(groups, minlength=num_groups, maxlength=num_groups)


def sort_groups(groups, num_groups):
    # A count per group instead of a sort: a third of the time.
    places = tf.range(tf.shape(groups)[0])
    return tf.concat(
        tf.dynamic_partition(places, groups, num_groups + 1), axis=0
    )


def invert(permutation):
    return tf.math.invert_permutation(permutation)


def with_adjoint(forward, adjoint, tensor):
    # TensorFlow's gradient of a gather is a scatter-add, which takes longer
    # than the gather that it is where no index occurs twice.
    tensor = tf.convert_to_tensor(tensor)
    if not tensor.dtype.is_floating:
        return forward(tensor)
    (result,) = linear(lambda x: [forward(x)], adjoint, tensor)
    return result


def take_or_zeros(rows, places, found):
    def with_zeros():
        blank = tf.zeros(tf.concat([[1], tf.shape(rows)[1:]], 0), rows.dtype)
        padded = tf.concat([rows, blank], axis=0)
        return tf.gather(padded, tf.where(found, places, tf.shape(rows)[0]))

    # Padding copies all rows; most batches have none to leave out.
    return tf.cond(
        tf.reduce_all(found), lambda: tf.gather(rows, places), with_zeros
    )


# Up to here, what a product costs beside its multiplications is most of it.
FEW_ROWS = 64


def weigh(weights, values):
    if weights.shape[0] is not None and weights.shape[0] <= FEW_ROWS:
        return tf.reduce_sum(weights[:, :, None] * values, axis=1)
    # As a product, without a tensor of the weighted values in between.
    return tf.squeeze(tf.matmul(weights[:, None, :], values), axis=1)


def run_nonempty(function, group):
    count = tf.shape(group[0])[0]
    missing = tf.maximum(1 - count, 0)

    def pad(tensor):
        shape = tf.concat([[missing], tf.shape(tensor)[1:]], axis=0)
        return tf.concat([tensor, tf.zeros(shape, tensor.dtype)], axis=0)

    return function(*map(pad, group))[:count]


def require_true(condition, message):
    tf.debugging.Assert(condition, [message])


def top_k(scores, k):
    return tf.math.top_k(scores, k)


def softmax_of_few(logits):
    # oneDNN's kernel for a softmax takes longer than these, on few columns.
    largest = tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
    powers = tf.exp(logits - largest)
    return powers / tf.reduce_sum(powers, axis=-1, keepdims=True)


def in_one_product(rows, shape):
    return False


def grouped_matmul(rows, kernels, group_sizes):
    groups = split_rows(rows, group_sizes, kernels.shape[0])
    products = [
        tf.matmul(group, kernel)
        for group, kernel in zip(groups, unstack(kernels), strict=True)
    ]
    return tf.concat(products, axis=0)
