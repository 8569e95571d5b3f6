"""What `keras.ops` does well where programs are traced: TensorFlow and JAX."""

from keras import ops


def finite_rows(rows):
    # Not `isfinite`, which exporters know less well. The largest is NaN where
    # one is, and NaN is not below.
    largest = ops.max(ops.abs(rows), axis=-1, initial=0)
    return ops.less(largest, float("inf"))


def product(rows, kernel):
    return ops.matmul(rows, kernel)


def gate_linear(values, activation):
    first, second = ops.split(values, 2, axis=-1)
    return activation(first) * second
