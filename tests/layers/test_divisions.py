"""Integers are divided as converters to other formats do it: towards 0.

TensorFlow's division of integers rounds down. Some converters write one that is
cut off towards 0, which differs where something below 0 is divided; nothing
fails, and other rows are dropped, or sent elsewhere.
"""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import (
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    MixtureOfExperts,
)
from moe_keras.ops.hashing import remainder
from moe_keras.ops.ngrams import ngram_buckets
from tests.tools import draw, numpy_of, only_tensorflow

pytestmark = only_tensorflow

IDS = np.random.default_rng(0).integers(-(2**31), 2**31, (40, 3))
IDS[0] = -1, -(2**31), 0
CUT_OFF = {"FloorDiv": "TruncateDiv", "FloorMod": "TruncateMod"}


def capacity(factor):
    mixture = MixtureOfExperts(
        DenseExpert(3, 4),
        GatingLayer(4, top_k=2),
        dispatch="capacity",
        capacity_factor=factor,
        eval_capacity_factor=factor,
    )
    return mixture, draw(40, 6)


class Buckets(keras.layers.Layer):
    def call(self, ids):
        return ops.cast(ngram_buckets(ids, 2, 1000), "float32")


MAKERS = {
    "capacity 1.25": lambda: capacity(1.25),
    "capacity 2": lambda: capacity(2.0),
    "sorted": lambda: (
        MixtureOfExperts(DenseExpert(3, 4), GatingLayer(4, 2)),
        draw(40, 6),
    ),
    "expert choice": lambda: (ExpertChoiceGating(4, 1.3), draw(40, 6)),
    "hash": lambda: (HashGating(5, column=0), IDS.astype("int32")),
    "n-grams": lambda: (Buckets(), IDS.astype("int32")),
}


def cut_off(layer, inputs):
    """The layer's program, where every division is cut off towards 0."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    traced = tf.function(lambda x: layer(x)).get_concrete_function(
        tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
    )
    frozen = convert_variables_to_constants_v2(traced)
    program = frozen.graph.as_graph_def()
    changed = 0
    for nodes in [
        program.node,
        *(f.node_def for f in program.library.function),
    ]:
        for node in nodes:
            if (
                node.op in CUT_OFF
                and node.attr["T"].type == tf.int32.as_datatype_enum
            ):
                node.op, changed = CUT_OFF[node.op], changed + 1

    def run(x):
        (result,) = tf.graph_util.import_graph_def(
            program,
            {frozen.inputs[0].name: x},
            [frozen.outputs[0].name],
            name="",
        )
        return result

    return tf.function(run), changed


@pytest.mark.parametrize("name", ["capacity 1.25", "sorted", "hash", "n-grams"])
def test_nothing_below_0_is_divided(name):
    layer, inputs = MAKERS[name]()
    layer(inputs)
    converted, changed = cut_off(layer, inputs)
    assert changed
    for rows in (1, 7, 11, 40):
        np.testing.assert_allclose(
            numpy_of(converted(inputs[:rows])),
            numpy_of(layer(inputs[:rows])),
            atol=1e-6,
        )


def test_the_remainder_is_that_of_python():
    numbers = [*IDS[:, 0].tolist(), *range(-3, 4), 2**31 - 1, -(2**31)]
    for divisor in (1, 2, 7, 46337, 2**30):
        found = remainder(ops.convert_to_tensor(numbers, "int32"), divisor)
        assert numpy_of(found).tolist() == [n % divisor for n in numbers]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"sorted"}))
def test_a_file_of_onnx_is_the_layer(name, tmp_path):
    reason = "needs tf2onnx and onnxruntime, which this package does not"
    pytest.importorskip("tf2onnx", reason=reason)
    onnxruntime = pytest.importorskip("onnxruntime", reason=reason)
    layer, inputs = MAKERS[name]()
    symbols = keras.Input(inputs.shape[1:], dtype=str(inputs.dtype))
    model = keras.Model(symbols, layer(symbols))
    model(inputs)
    file = str(tmp_path / "model.onnx")
    with warnings.catch_warnings():
        # Of the converter's own.
        warnings.simplefilter("ignore")
        model.export(file, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(file)
    (source,) = session.get_inputs()
    for rows in (1, 7, 11, 40):
        (found,) = session.run(None, {source.name: inputs[:rows]})
        np.testing.assert_allclose(
            found, numpy_of(model(inputs[:rows])), atol=1e-5
        )
