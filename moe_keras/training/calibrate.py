"""Calibration on held-out data: one temperature, or a curve."""

import math
import warnings
from typing import Any

import keras
import numpy as np

from moe_keras.asking import ask
from moe_keras.errors import require
from moe_keras.layers import IsotonicScaling, TemperatureScaling
from moe_keras.training.graph import calls_of, graph_of

OWNER = "fit_temperature"
# Where T is looked for.
LOWEST, HIGHEST = 0.01, 100.0
# Of log T: a thousandth of a percent.
TOLERANCE = 1e-5


def fit_temperature(
    model: keras.Model,
    data: Any,
    batch_size: int = 256,
    output: str | None = None,
) -> float:
    """Set the temperature that gives the least log-loss on held-out data.

    Behind the layer there must be a softmax, or nothing but a loss with
    `from_logits=True`. The log-loss has a single minimum in T. The class that
    is predicted stays the same for every row. Hold the data out of the
    training: on training data a model looks surer than it is. With a
    `PriorCorrection` behind, their class shares are to be those of the
    training, by weights if need be.

    Args:
        model: functional or sequential `keras.Model`, built, with one
            `TemperatureScaling` in its own graph.
        data: `(x, y)` or `(x, y, sample_weight)` of arrays, what has such
            `arrays`, as a `Split`, or batches of these, such as a
            `tf.data.Dataset`; y holds the numbers of classes.
        batch_size: int > 0, for arrays.
        output: of a model with several outputs, the name of the one; y is then
            a dict, sample_weight too, and rows with a label below 0 are left
            out. None for a model with one output.

    Returns:
        T, in [0.01, 100]. It is at an end of that range, with a warning, where
        the data have no minimum inside: if every row's label has the largest
        logit, a smaller T is always better.

    Raises:
        ValueError: for a model with none or several such layers.

    Source: Guo et al. (2017), arXiv:1706.04599, section 4.2.

    Example:
    >>> temperature = fit_temperature(model, (x_validation, y_validation))
    """
    layer, logits_of = cut_model(model, TemperatureScaling, OWNER, output)
    temperature = best_temperature(
        *_collect(logits_of, data, batch_size, OWNER, output)
    )
    if temperature in (LOWEST, HIGHEST):
        warnings.warn(
            f"{OWNER}: the log-loss has no minimum in [{LOWEST}, {HIGHEST}]: "
            "too few data, or all of them classified without a mistake. "
            f"Received: temperature={temperature:.4g}",
            stacklevel=2,
        )
    layer.scale.assign(temperature)
    return float(keras.ops.convert_to_numpy(layer.scale))


def best_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
    """T with the least log-loss of softmax(logits / T).

    Args:
        logits: float `(N, C)`.
        labels: int `(N,)`, in 0..C-1.
        weights: float `(N,)` >= 0, of the rows.

    Returns:
        float in [0.01, 100], an end of that range where there is no minimum
        inside.
    """
    # With scikit-learn, which is required.
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        top = scaled.max(axis=-1, keepdims=True)
        total = np.log(np.exp(scaled - top).sum(axis=-1)) + top[:, 0]
        losses = total - scaled[np.arange(len(labels)), labels]
        return float(np.average(losses, weights=weights))

    ends = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(
        log_loss,
        bounds=ends,
        method="bounded",
        options={"xatol": TOLERANCE},
    ).x
    # The search stops short of the ends.
    best = min((*ends, float(found)), key=log_loss)
    for end, limit in zip(ends, (LOWEST, HIGHEST), strict=True):
        if abs(best - end) < 10 * TOLERANCE:
            return limit
    return math.exp(best)


def check_temperature(model: keras.Model) -> None:
    """Refuse a model that `fit_temperature` would refuse.

    Raises:
        ValueError: for a model with none or several `TemperatureScaling`.
    """
    cut_model(model, TemperatureScaling, OWNER)


def fit_isotonic(
    model: keras.Model,
    data: Any,
    batch_size: int = 256,
    output: str | None = None,
) -> None:
    """Set the curve of a model's `IsotonicScaling` on held-out data.

    The curve is the isotonic regression of the labels on the log-odds. It takes
    more data than a temperature, a thousand rows or so, and makes equal what it
    cannot tell apart. Its shares of 0 and 1 are held off by 1 / (N + 2).

    Args:
        model: functional or sequential `keras.Model`, built, with one
            `IsotonicScaling` in its own graph; of two classes.
        data: see `fit_temperature`.
        batch_size: int > 0, for arrays.
        output: see `fit_temperature`.

    Raises:
        ValueError: for a model with none or several such layers.

    Source: Zadrozny & Elkan (2002), KDD; Laplace's rule of succession for the
        ends.
    """
    owner = "fit_isotonic"
    layer, logits_of = cut_model(model, IsotonicScaling, owner, output)
    logits, labels, weights = _collect(
        logits_of, data, batch_size, owner, output
    )
    layer.set_curve(*best_curve(logits, labels, weights, layer.max_knots))


def best_curve(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, knots: int
) -> tuple[np.ndarray, np.ndarray]:
    """The isotonic regression of labels on log-odds, as a curve of log-odds.

    Args:
        logits: float `(N, 2)`.
        labels: int `(N,)`, 0 or 1.
        weights: float `(N,)` >= 0, of the rows.
        knots: int > 1. Of more, as many are taken, at even steps.

    Returns:
        Places and values, float `(m,)`; see `IsotonicScaling.set_curve`.
    """
    from sklearn.isotonic import IsotonicRegression

    # As the layer will see them.
    odds = (logits[:, 1] - logits[:, 0]).astype("float32").astype("float64")
    found = IsotonicRegression().fit(odds, labels, weights)
    places, shares = found.X_thresholds_, found.y_thresholds_
    if len(places) > knots:
        kept = np.unique(np.linspace(0, len(places) - 1, knots).round())
        places, shares = places[kept.astype(int)], shares[kept.astype(int)]
    least = 1 / (len(labels) + 2)
    shares = np.clip(shares, least, 1 - least)
    return places, np.log(shares) - np.log1p(-shares)


def cut_model(
    model: keras.Model, kind: type, owner: str, output: str | None = None
) -> tuple[Any, keras.Model]:
    """The one layer of a kind, and the model up to it.

    Args:
        model: functional or sequential, built.
        kind: class of the layer.
        owner: whom to name in errors.
        output: the name of the output that it must lead to; None for any.

    Raises:
        ValueError: for none or several, and for an output that is not there.
    """
    # A graph of its own: the layer may have been called in others too.
    graph = graph_of(model, owner)
    if output is not None:
        outputs = graph.output if isinstance(graph.output, dict) else {}
        require(
            output in outputs,
            owner,
            f"`output` must be one of the model's {list(outputs)}.",
            output=output,
        )
        graph = keras.Model(graph.input, outputs[output])
    calls = calls_of(graph, kind)
    require(
        len(calls) == 1,
        owner,
        f"`model` must have one {kind.__name__}, called once.",
        layers=[node.operation.name for node in calls],
    )
    (node,) = calls
    (inputs,) = node.input_tensors
    return node.operation, keras.Model(graph.input, inputs)


def _collect(
    logits_of: keras.Model,
    data: Any,
    batch_size: int,
    owner: str,
    output: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits `(N, C)`, labels `(N,)` and weights `(N,)`, in float64."""
    data = getattr(data, "arrays", data)
    if isinstance(data, tuple):
        logits = ask(logits_of, data[0], batch_size)
        parts = [(logits, *data[1:])]
    else:
        parts = [
            (logits_of.predict_on_batch(x), *others) for x, *others in data
        ]
    logits = np.concatenate([np.asarray(part[0]) for part in parts])
    labels, *weights = (
        np.concatenate([_array(part[place], output) for part in parts])
        for place in range(1, len(parts[0]))
    )
    num_classes = logits.shape[-1]
    logits = logits.reshape(-1, num_classes).astype("float64")
    labels = labels.reshape(-1)
    weights = [one.reshape(-1).astype("float64") for one in weights]
    if output is not None and len(labels) == len(logits):
        known = labels >= 0
        logits, labels = logits[known], labels[known]
        weights = [one[known] for one in weights]
    require(
        len(labels) == len(logits) > 0
        and np.issubdtype(labels.dtype, np.integer)
        and 0 <= labels.min() <= labels.max() < num_classes,
        owner,
        "labels must be a class number for each row of logits.",
        labels_shape=labels.shape,
        labels_dtype=str(labels.dtype),
        logits_shape=logits.shape,
    )
    if labels.min() == labels.max():
        warnings.warn(
            f"{owner}: all labels are of one class, {labels[0]}: what is "
            "fitted to them says nothing of the others.",
            stacklevel=3,
        )
    (weight,) = weights or [np.ones(len(labels))]
    return logits, labels, weight


def _array(values: Any, output: str | None) -> np.ndarray:
    values = values if output is None else values[output]
    return np.asarray(keras.ops.convert_to_numpy(values))
