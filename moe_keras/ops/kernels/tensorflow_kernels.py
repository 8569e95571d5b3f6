"""TensorFlow: data-dependent shapes are fine outside XLA.

`tf.split` along the first axis and `tf.unstack` hand out views of their input,
so neither the rows nor the kernels are copied on the way to the matmuls.
Unstacking once also keeps the backward pass linear in E: slicing `kernels[e]`
in a loop would build a zero tensor of the whole bank for every expert.
"""

import tensorflow as tf

DYNAMIC_SHAPES = True


def first_rows(index, count):
    return index[:count]


def split_rows(rows, sizes, num_groups):
    return tf.split(rows, sizes, num=num_groups)


def unstack(weights):
    return tf.unstack(weights)


def run_nonempty(function, group):
    count = tf.shape(group[0])[0]
    missing = tf.maximum(1 - count, 0)

    def pad(tensor):
        shape = tf.concat([[missing], tf.shape(tensor)[1:]], axis=0)
        return tf.concat([tensor, tf.zeros(shape, tensor.dtype)], axis=0)

    return function(*map(pad, group))[:count]


def top_k(scores, k):
    return tf.math.top_k(scores, k)


def grouped_matmul(rows, kernels, group_sizes):
    groups = split_rows(rows, group_sizes, kernels.shape[0])
    products = [
        tf.matmul(group, kernel)
        for group, kernel in zip(groups, unstack(kernels), strict=True)
    ]
    return tf.concat(products, axis=0)
