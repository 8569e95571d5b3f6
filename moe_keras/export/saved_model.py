"""SavedModel with two signatures: the predictions, and why they came out so."""

import keyword
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.layers import (
    MixtureOfExperts,
    MultiGateMixture,
    record_gates,
)
from moe_keras.training.finite import require_finite_weights

OWNER = "export_saved_model"
# Of the exported predictions from Keras' own, relative to 1 or the largest.
TOLERANCE = 1e-5
# Dispatches that run no runs of rows whose number depends on data.
_STATIC = ("dense", "gather", "capacity")
# What a model of texts is asked: words, nothing, marks, other scripts, bytes
# that are no text.
_TEXTS = (
    b"A good film, <br />and not a bad one: don't miss it!",
    b"",
    "Тёплый фильм 影 😀 שלום".encode(),
    b"awful!!! 1/10 ...",
    b"\xff\x00 word",
)


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    dispatch: str | None = None,
) -> Path:
    """Write a model as a TensorFlow SavedModel and check what was written.

    Signatures, whose inputs carry the names of the model's inputs, with `_` for
    what TensorFlow does not allow there, such as spaces; see `served_names`:

    - `serving_default` returns `{"outputs": predictions}`, or the model's own
      names where it has several outputs;
    - `explain` returns the same and, for each gating layer, its gates
      `(..., E)`: `gates` where there is one layer, else `gates_<layer>`.

    The artefact is loaded again and both signatures are compared with the
    model, on random inputs or on texts of all kinds, before this function
    returns.

    Args:
        model: `keras.Model`, built, with tensor inputs (one, a list or a dict).
        path: folder to write; one that holds a SavedModel is written over.
        dispatch: of all mixtures in the artefact; None keeps each one's own.
            A `MultiGateMixture`, which has none, runs every expert on every
            row under all but `"sorted"` and `"auto"`. The model itself is left
            as it is.

    Returns:
        The folder.

    Raises:
        ValueError: on a backend other than TensorFlow (save `.keras` there and
            load it under TensorFlow), for a model that is not built, and for an
            artefact that does not return what the model returns.
    """
    require(
        keras.backend.backend() == "tensorflow",
        OWNER,
        "needs the TensorFlow backend: save the model as .keras, load it with "
        "KERAS_BACKEND=tensorflow and export it there.",
        backend=keras.backend.backend(),
    )
    require(
        isinstance(model, keras.Model)
        and model.built
        and getattr(model, "inputs", None) is not None,
        OWNER,
        "`model` must be a keras.Model that is built and knows its inputs: a "
        "functional or a sequential one.",
        model=model,
    )
    require_finite_weights(OWNER, model)
    import tensorflow as tf

    signature = _input_signature(model)
    with _dispatched(model, dispatch):
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serving_default", _serve(model), input_signature=[signature]
        )
        # Traced with an open batch: other operations, as are taken for a few
        # rows, round otherwise, and half precision shows it.
        explain = archive.add_endpoint(
            "explain", _explain(model), input_signature=[signature]
        )
        archive.write_out(str(path), verbose=False)
        _verify(explain, tf.saved_model.load(str(path)), signature)
    return Path(path)


def served_names(model: keras.Model) -> dict[str, str]:
    """Under which name each input of a model is fed to its SavedModel.

    A name that TensorFlow can have is kept. Else `_` stands for what it does
    not allow, and behind a name that it cannot tell from one before: it has no
    case there, and no dots; nor can it have Python's keywords, or `self`.

    Args:
        model: `keras.Model` with tensor inputs, as of `export_saved_model`.

    Returns:
        By the name of the input, as the model has it, that of the signatures.
    """
    served: dict[str, str] = {}
    parameters, nodes = {"self", *keyword.kwlist}, set()
    for tensor in keras.tree.flatten(model.inputs):
        name = re.sub("[^A-Za-z0-9_.-]", "_", tensor.name)
        name = name if name[0].isalnum() else f"x{name}"
        while _parameter(name) in parameters or name.lower() in nodes:
            name += "_"
        parameters.add(_parameter(name))
        nodes.add(name.lower())
        served[tensor.name] = name
    return served


def _parameter(name: str) -> str:
    """What TensorFlow calls the argument of a signature."""
    found = re.sub("[^A-Za-z0-9]", "_", name)
    return found if found[0].isalpha() else f"arg_{found}"


def _input_signature(model: Any) -> dict[str, Any]:
    import tensorflow as tf

    names = served_names(model)
    return {
        tensor.name: tf.TensorSpec(
            (None, *tensor.shape[1:]), tensor.dtype, name=names[tensor.name]
        )
        for tensor in keras.tree.flatten(model.inputs)
    }


def _call(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The model's outputs by name, in inference."""
    structure = getattr(model, "_inputs_struct", model.inputs)
    if isinstance(model, keras.Sequential):
        # A list of one tensor is not what it was built for: Keras warns.
        (structure,) = model.inputs
    values = keras.tree.map_structure(
        lambda tensor: inputs[tensor.name], structure
    )
    outputs = model(values, training=False)
    if isinstance(outputs, dict):
        return dict(outputs)
    flat = keras.tree.flatten(outputs)
    if len(flat) == 1:
        return {"outputs": flat[0]}
    return dict(zip(model.output_names, flat, strict=True))


def _serve(model: Any) -> Any:
    def serving_default(inputs: dict[str, Any]) -> dict[str, Any]:
        return _call(model, inputs)

    return serving_default


def _explain(model: Any) -> Any:
    def explain(inputs: dict[str, Any]) -> dict[str, Any]:
        with record_gates() as gates:
            outputs = _call(model, inputs)
        if len(gates) == 1:
            return {**outputs, "gates": next(iter(gates.values()))}
        return {
            **outputs,
            **{f"gates_{name}": value for name, value in gates.items()},
        }

    return explain


@contextmanager
def _dispatched(model: Any, dispatch: str | None) -> Iterator[None]:
    """Give every mixture in the model this dispatch for a while."""
    changes: list[tuple[Any, str, Any]] = []
    for layer in model._flatten_layers() if dispatch is not None else ():
        if isinstance(layer, MixtureOfExperts):
            changes.append((layer, "dispatch", dispatch))
        elif isinstance(layer, MultiGateMixture) and dispatch in _STATIC:
            changes.append((layer, "runs_chosen", False))
    before = [getattr(layer, name) for layer, name, _ in changes]
    try:
        for layer, name, value in changes:
            setattr(layer, name, value)
        yield
    finally:
        for (layer, name, _), value in zip(changes, before, strict=True):
            setattr(layer, name, value)


def _verify(explain: Any, artefact: Any, signature: dict[str, Any]) -> None:
    """Compare both signatures with the model's `explain` on a few inputs."""
    import tensorflow as tf

    texts = any(spec.dtype == tf.string for spec in signature.values())
    batches = [
        {name: _random(spec, rows) for name, spec in signature.items()}
        for rows in (1, len(_TEXTS) if texts else 3)
    ]
    for inputs in batches:
        expected = explain(inputs)
        named = {signature[name].name: inputs[name] for name in signature}
        for endpoint in ("serving_default", "explain"):
            found = artefact.signatures[endpoint](**named)
            for name, value in found.items():
                _compare(f"{endpoint}:{name}", value, expected[name])


def _compare(output: str, found: Any, expected: Any) -> None:
    """Refuse an output that is not the model's."""
    import tensorflow as tf

    value, wanted = (
        np.asarray(tf.cast(tensor, tf.float32)) for tensor in (found, expected)
    )
    error = float(np.max(np.abs(value - wanted), initial=0))
    limit = TOLERANCE * max(1.0, float(np.max(np.abs(wanted), initial=0)))
    require(
        math.isfinite(error) and error <= limit,
        OWNER,
        f"{output} of the artefact is not the model's.",
        largest_difference=error,
    )


def _random(spec: Any, rows: int) -> Any:
    """Inputs of this kind; sizes that are left open are 8."""
    import tensorflow as tf

    shape = [rows, *(8 if size is None else size for size in spec.shape[1:])]
    generator = np.random.default_rng(0)
    if spec.dtype.is_floating:
        return tf.constant(generator.uniform(size=shape), spec.dtype)
    if spec.dtype == tf.string:
        return tf.constant(np.resize(np.array(_TEXTS, dtype=object), shape))
    return tf.constant(generator.integers(0, 2, size=shape), spec.dtype)
