"""What every public layer must do: one call of `check_layer` per configuration.

Mend the checks in their order: a layer whose signature lies makes the later
ones fail in strange ways.
"""

import os
import tempfile

import keras
import numpy as np

from moe_keras.layers import ExpertBank, MixtureOfExperts, MultiGateMixture
from tests.gradients import gradients_of, random_projection
from tests.signature import check_signature
from tests.tools import (
    BACKEND,
    joined,
    joined_shape,
    learn_inputs,
    numpy_of,
    randomize,
    without_build_config,
)

# How far a policy's values may be from the float32 ones, relative to the
# largest: a few units in the last place of the compute dtype.
POLICIES = {
    "float32": 1e-6,
    "mixed_bfloat16": 4e-2,
    "mixed_float16": 5e-3,
    "float64": 1e-5,
}


def check_layer(
    layer_class,
    make_kwargs,
    inputs,
    *,
    call_kwargs=None,
    atol=1e-5,
):
    """Run every check on one configuration of a layer.

    Args:
        layer_class: the class.
        make_kwargs: function without arguments that returns the arguments of
            `__init__`; a new one each time, for layers that hold layers.
        inputs: tuple of positional arguments of the call: arrays, or lists of
            arrays. Rows enough that every expert is used.
        call_kwargs: dict for the call, apart from `training`.
        atol: absolute tolerance where two ways must agree.
    """
    check = _Check(layer_class, make_kwargs, inputs, call_kwargs or {}, atol)
    check_signature(layer_class, check.new())
    check.config_survives_build()
    check.build_makes_all_weights()
    check.shapes_and_dtypes_agree()
    check.found_from_outside()
    check.twin_is_equal()
    check.saved_model_is_equal()
    check.gradient_reaches_every_weight()
    check.policies_are_kept()
    check.compiled_is_eager()
    check.permuted_batch_permutes_output()


class Around(keras.layers.Layer):
    """As users write them: Keras runs `call` to find the output's shape."""

    def __init__(self, layer, call_kwargs=None):
        super().__init__()
        self.layer = layer
        self.call_kwargs = call_kwargs or {}

    def build(self, *shapes):
        self.built = True  # as the layer inside is, by then

    def call(self, *inputs):
        return self.layer(*inputs, **self.call_kwargs)


class _Check:
    def __init__(self, layer_class, make_kwargs, inputs, call_kwargs, atol):
        self.layer_class = layer_class
        self.make_kwargs = make_kwargs
        self.inputs = inputs
        self.call_kwargs = call_kwargs
        self.atol = atol
        self.layer = self.new()
        self.before = self.config()
        self.expected = self.run(self.layer)
        self.built = [weight.path for weight in self.layer.weights]
        randomize(self.layer)
        learn_inputs(self.layer, self.inputs[0])
        self.expected = self.run(self.layer)
        assert np.all(np.isfinite(self.expected))

    def new(self):
        return self.layer_class(**self.make_kwargs())

    def config(self):
        return without_build_config(self.layer.get_config())

    def run(self, layer, inputs=None, training=False):
        inputs = self.inputs if inputs is None else inputs
        outputs = layer(*inputs, training=training, **self.call_kwargs)
        return numpy_of(joined(outputs))

    def shapes(self):
        return [
            [tuple(array.shape) for array in part]
            if isinstance(part, list)
            else tuple(part.shape)
            for part in self.inputs
        ]

    def symbols(self):
        return keras.tree.map_structure(
            lambda array: keras.Input(array.shape[1:], dtype=array.dtype.name),
            self.inputs,
        )

    def model(self, layer):
        symbols = self.symbols()
        outputs = joined(layer(*symbols, **self.call_kwargs))
        return keras.Model(keras.tree.flatten(symbols), outputs)

    def config_survives_build(self):
        """(2) `build` edits nothing that `get_config` returns."""
        assert self.config() == self.before

    def build_makes_all_weights(self):
        """(3) No weight appears in `call`."""
        layer = self.new()
        layer.build(*self.shapes())
        assert len(layer.weights) == len(self.built)
        names = [weight.path for weight in layer.weights]
        self.run(layer, training=True)
        assert [weight.path for weight in layer.weights] == names

    def shapes_and_dtypes_agree(self):
        """(4) Symbolic, eager and computed shapes are the same."""
        model = self.model(self.layer)
        assert model.output_shape[0] is None
        assert model.output_shape[1:] == self.expected.shape[1:]
        symbolic = keras.backend.standardize_dtype(model.outputs[0].dtype)
        assert symbolic == self.expected.dtype.name
        computed = self.layer.compute_output_shape(*self.shapes())
        assert joined_shape(computed) == self.expected.shape

    def found_from_outside(self):
        """(4) A layer around it, without shapes of its own, has the same."""
        symbols = self.symbols()
        outputs = joined(Around(self.layer, self.call_kwargs)(*symbols))
        assert outputs.shape[0] is None
        assert outputs.shape[1:] == self.expected.shape[1:]

    def twin_is_equal(self):
        """(5) A layer from the config, with the weights, is the same."""
        twin = self.layer_class.from_config(self.layer.get_config())
        assert without_build_config(twin.get_config()) == self.before
        self.run(twin)
        twin.set_weights(self.layer.get_weights())
        np.testing.assert_array_equal(self.run(twin), self.expected)

    def saved_model_is_equal(self):
        """(5) So is one that was saved and loaded, without custom objects."""
        model = self.model(self.layer)
        arrays = keras.tree.flatten(self.inputs)
        expected = numpy_of(model(arrays, training=False))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.saving.load_model(path)
        actual = numpy_of(loaded(arrays, training=False))
        np.testing.assert_array_equal(actual, expected)
        for ours, theirs in zip(model.weights, loaded.weights, strict=True):
            assert ours.name == theirs.name

    def gradient_reaches_every_weight(self):
        """(6) In training, with the auxiliary losses, for every expert."""
        variables = self.layer.trainable_variables
        if not variables:
            return
        _, gradients, _ = gradients_of(
            self.layer, self.inputs, random_projection, **self.call_kwargs
        )
        banks = _banked(self.layer)
        for variable, gradient in zip(variables, gradients, strict=True):
            assert gradient is not None, f"no gradient on {variable.path}"
            assert np.all(np.isfinite(gradient)), variable.path
            parts = gradient if id(variable) in banks else [gradient]
            for e, part in enumerate(parts):
                assert np.any(part != 0), f"{variable.path}: zero, part {e}"

    def policies_are_kept(self):
        """(7) The output has the policy's compute dtype, and is close."""
        largest = np.max(np.abs(self.expected))
        for policy in POLICIES:
            # JAX has no float64 by default; on PyTorch, Keras' own matmul
            # returns float32 for it.
            if policy == "float64" and BACKEND != "tensorflow":
                continue
            # JAX compiles each operation for each dtype, which takes long.
            if policy == "mixed_float16" and BACKEND == "jax":
                continue
            keras.config.set_dtype_policy(policy)
            layer = self.new()
            outputs = layer(*self.inputs, training=False, **self.call_kwargs)
            layer.set_weights(self.layer.get_weights())
            outputs = layer(*self.inputs, training=False, **self.call_kwargs)
            outputs = joined(outputs)
            dtype = keras.backend.standardize_dtype(outputs.dtype)
            assert dtype == keras.DTypePolicy(policy).compute_dtype
            assert self.model(layer).outputs[0].dtype == dtype
            outputs = numpy_of(keras.ops.cast(outputs, "float32"))
            gap = np.max(np.abs(outputs - self.expected))
            assert gap <= POLICIES[policy] * largest, (policy, gap, largest)
            gradients_exist(layer, self.inputs, self.call_kwargs)
        keras.config.set_dtype_policy("float32")

    def compiled_is_eager(self):
        """(7) `predict` with XLA where the layer allows, in a graph else."""
        if BACKEND == "torch":
            return  # torch.compile needs a C++ compiler, and minutes
        model = self.model(self.layer)
        jit = True if BACKEND == "jax" else self.layer.supports_jit
        model.compile(jit_compile=jit)
        assert model.jit_compile == jit
        arrays = keras.tree.flatten(self.inputs)
        actual = model.predict(arrays, verbose=0, batch_size=len(arrays[0]))
        np.testing.assert_allclose(
            actual, self.expected, atol=self.atol, rtol=1e-4
        )

    def permuted_batch_permutes_output(self):
        """(8) Rows do not see each other in inference."""
        order = np.random.default_rng(5).permutation(len(self.expected))
        inputs = keras.tree.map_structure(lambda a: a[order], self.inputs)
        np.testing.assert_allclose(
            self.run(self.layer, inputs),
            self.expected[order],
            atol=self.atol,
            rtol=1e-4,
        )


def gradients_exist(layer, inputs, call_kwargs):
    """Backward runs in this dtype too, and finds finite numbers."""
    if not layer.trainable_variables:
        return

    def mean(outputs):
        return keras.ops.mean(keras.ops.cast(joined(outputs), "float32"))

    _, gradients, _ = gradients_of(layer, inputs, mean, **call_kwargs)
    for gradient in gradients:
        assert gradient is not None
        assert np.all(np.isfinite(gradient.astype("float32")))


def _banked(layer):
    """The ids of the weights that have one slice per expert."""
    banks = [layer]
    if isinstance(layer, MixtureOfExperts | MultiGateMixture):
        own = getattr(layer, "task_experts", {}).values()
        banks = [*layer.experts, *(bank for banks in own for bank in banks)]
    return {
        id(weight)
        for bank in banks
        if isinstance(bank, ExpertBank)
        # `_trainable_variables`: its own, not those of the layers it holds.
        for weight in bank._trainable_variables
    }
