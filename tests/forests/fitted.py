"""Rows to fit to, and how an expert is compared with what was fitted."""

import numpy as np
from keras import ops

from moe_keras.layers import ForestExpert
from tests.tools import numpy_of

# The category: its column, and its levels.
CATEGORY, LEVELS = 4, 7


def draw_table(classes, rows=1500, missing=True, seed=0):
    """float32 rows of 4 numbers, a category and rounded numbers; labels."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, 6)).astype("float32")
    table[:, CATEGORY] = rng.integers(0, LEVELS, rows)
    table[:, 5] = np.round(table[:, 5])
    scores = table[:, 0] + np.sin(2 * table[:, 1]) + (table[:, 4] % 3 == 1)
    scores = scores + 0.5 * rng.normal(size=rows)
    cuts = np.quantile(scores, np.arange(1, classes) / classes)
    if missing:
        table[rng.uniform(size=table.shape) < 0.15] = np.nan
    return table, np.digitize(scores, cuts)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def probabilities_of(expert, rows):
    """`(N, C)`, and all logits are finite."""
    logits = numpy_of(expert(ops.convert_to_tensor(rows)))
    assert np.all(np.isfinite(logits))
    return softmax(logits[:, 0].astype("float64"))


def largest_error(model, rows, predict=None, **kwargs):
    """Of an expert's probabilities, beside those that the library predicts."""
    expert = ForestExpert.from_model(model, **kwargs)
    expected = (predict or model.predict_proba)(rows)
    found = probabilities_of(expert, rows)
    assert found.shape == expected.shape
    # What is compared differs from row to row.
    assert np.std(expected[:, 0]) > 0.1
    return np.max(np.abs(found - expected))


def at_thresholds(model, count=3000, seed=3):
    """Rows whose numbers are thresholds of the model, or their neighbours."""
    rng = np.random.default_rng(seed)
    expert = ForestExpert.from_model(model)
    expert.build((None, 6))
    arrays = expert.arrays()
    rows, _ = draw_table(2, count, missing=False, seed=seed)
    finite = arrays["thresholds"][np.isfinite(arrays["thresholds"])]
    numbers = rng.choice(finite, rows.shape).astype("float32")
    moves = rng.integers(-1, 2, rows.shape)
    for step in (-1, 1):
        beside = np.nextafter(numbers, np.float32(step * np.inf))
        numbers = np.where(moves == step, beside, numbers)
    # Subnormal numbers are 0 to some backends, and no threshold of a library.
    numbers[np.abs(numbers) < np.finfo("float32").tiny] = 0
    rows[:, [0, 1, 2, 3, 5]] = numbers[:, [0, 1, 2, 3, 5]]
    return rows
