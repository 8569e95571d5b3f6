"""Train the gate of a mixture on outputs of experts that were kept from it.

Experts that were fitted to a row say more of it than they know: trees know
their rows by heart. A gate that learns on such outputs trusts the experts that
overfit most. So it learns on outputs for rows that no expert was fitted to:
each fold's by experts of the other folds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import StratifiedKFold

from moe_keras.asking import ask
from moe_keras.errors import is_count, require
from moe_keras.layers import MixtureOfExperts
from moe_keras.training.compiling import make_slots
from moe_keras.training.expert_view import with_expert_outputs
from moe_keras.training.finite import FiniteWeights
from moe_keras.training.freezing import Freezer
from moe_keras.training.generators import held_generators
from moe_keras.training.graph import calls_of, graph_of
from moe_keras.training.input_pipeline import InputPipeline, drawn_seed

OWNER = "fit_gate"
# What has kept the logits of a part, or computes them now.
Kept = Callable[[int, Callable[[], np.ndarray]], np.ndarray]
BATCH_SIZE = 512


def predict_experts(
    model: keras.Model, inputs: Any, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """What every expert of a model's mixture says of every row.

    Args:
        model: see `with_expert_outputs`; its experts return logits.
        inputs: array, or a dict of them.
        batch_size: int > 0.

    Returns:
        float `(N, E, C)`, logits.
    """
    view = with_expert_outputs(model)
    return np.asarray(ask(view, inputs, batch_size)["expert_logits"])


def predict_out_of_fold(
    fit: Callable[[Any, np.ndarray, int], keras.Model],
    inputs: Any,
    labels: Any,
    folds: int = 5,
    seed: int = 0,
    kept: Kept | None = None,
) -> np.ndarray:
    """What experts say of rows that they were not fitted to.

    Args:
        fit: from inputs, labels and the fold's number to a new model with the
            experts fitted to them; its gate does not matter.
        inputs: array `(N, ...)`, or a dict of them.
        labels: int `(N,)`.
        folds: int > 1. Parts of equal size, with the classes in equal shares.
        seed: int >= 0, of the parts.
        kept: from a part's number and what computes its logits to the logits,
            for one who has kept them; computed by default.

    Returns:
        float `(N, E, C)`, logits, each by the model of the other parts.

    Raises:
        ValueError: for fewer rows of a class than folds.

    Source: Wolpert (1992), Stacked generalization, Neural Networks 5(2).
    """
    labels = np.asarray(labels)
    counts = np.unique(labels, return_counts=True)[1]
    require(
        is_count(folds) and 1 < folds <= counts.min(),
        "predict_out_of_fold",
        "`folds` must be an integer above 1, and at most the rows of the "
        "rarest class.",
        folds=folds,
        rarest=int(counts.min()),
    )
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    pieces, order = [], []
    for number, (learn, rest) in enumerate(parts.split(labels, labels)):

        def say(
            number: int = number,
            learn: np.ndarray = learn,
            rest: np.ndarray = rest,
        ) -> np.ndarray:
            model = fit(_rows(inputs, learn), labels[learn], number)
            return predict_experts(model, _rows(inputs, rest))

        pieces.append(kept(number, say) if kept else say())
        order.append(rest)
    found: np.ndarray = np.concatenate(pieces)[
        np.argsort(np.concatenate(order))
    ]
    return found


@held_generators()
def fit_gate(
    model: keras.Model,
    inputs: Any,
    labels: Any,
    expert_logits: Any,
    epochs: int = 20,
    learning_rate: float = 1e-2,
    batch_size: int = BATCH_SIZE,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int | None = None,
    verbose: int | str = 0,
) -> keras.callbacks.History:
    """Fit the gate and the fusion of a mixture to given outputs of its experts.

    Nothing else is changed, and no expert is run: the gate's inputs are
    computed once. The loss is the cross-entropy of the model's output, and what
    the gate adds. Adam's rate falls to 0 along a half cosine.

    Args:
        model: functional `keras.Model` with one mixture, without a shared path,
            whose experts return logits; its output is probabilities `(B, C)`.
        inputs: array `(N, ...)`, or a dict of them.
        labels: int `(N,)`.
        expert_logits: float `(N, E, C)`, as of `predict_out_of_fold`.
        epochs: int > 0.
        learning_rate: float > 0, at first.
        batch_size: int > 0.
        callbacks: of Keras; their `model` is a view of the gate alone.
        seed: int >= 0 for `keras.utils.set_random_seed`, or None.
        verbose: as of `fit`.

    Returns:
        `keras.callbacks.History`.

    Raises:
        ValueError: for another model, logits of another shape, and a gate and
            fusion without a weight to train.

    Source: Wolpert (1992), Neural Networks 5(2); Jacobs et al. (1991), Neural
        Computation 3(1), for gates that see the row.
    """
    graph = graph_of(model, OWNER)
    mixture, given = _find_mixture(graph)
    labels, logits = np.asarray(labels), np.asarray(expert_logits, "float32")
    require(
        logits.ndim == 3
        and logits.shape[:2] == (len(labels), mixture.num_experts),
        OWNER,
        f"`expert_logits` must be (N, {mixture.num_experts}, C), with a row "
        "for each label.",
        expert_logits_shape=logits.shape,
        labels_shape=labels.shape,
    )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    rows = ask(keras.Model(graph.input, given), inputs, batch_size)
    if hasattr(rows, "to_tensor"):
        # Batches of texts of different lengths; 0 is their padding.
        rows = keras.ops.convert_to_numpy(rows.to_tensor())
    trainer = _view(graph, mixture, given, logits.shape[1:])
    freezer = Freezer(trainer)
    head = [layer.name for layer in (mixture.gate, mixture.fusion)]
    with freezer.only(head):
        require(
            trainer.trainable_variables,
            OWNER,
            "the gate and the fusion must have a weight to train.",
            gate=type(mixture.gate).__name__,
            fusion=type(mixture.fusion).__name__,
        )
        steps = epochs * -(-len(labels) // batch_size)
        trainer.compile(
            keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(learning_rate, steps)
            ),
            "sparse_categorical_crossentropy",
            # An object: a name becomes variables in the first trace.
            metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
        )
        make_slots(trainer)
        batches = InputPipeline(
            (rows, logits), labels, batch_size, drawn_seed(seed)
        )
        data, followers = batches.for_fit(0, epochs)
        return trainer.fit(
            **data,
            epochs=epochs,
            callbacks=[*followers, FiniteWeights(), *callbacks],
            verbose=verbose,
        )


def _find_mixture(graph: keras.Model) -> tuple[MixtureOfExperts, Any]:
    """The mixture, and the tensor that it reads."""
    calls = calls_of(graph, MixtureOfExperts)
    require(
        len(calls) == 1 and calls[0].operation.shared is None,
        OWNER,
        "`model` must have one MixtureOfExperts in its own graph, called once, "
        "without a shared path.",
        calls=[node.operation.name for node in calls],
    )
    (node,) = calls
    return node.operation, node.input_tensors[0]


def _view(
    graph: keras.Model, mixture: MixtureOfExperts, given: Any, shape: Any
) -> keras.Model:
    """From the mixture's inputs and logits `(E, C)` to the model's output."""
    (node,) = calls_of(graph, MixtureOfExperts)
    rows = keras.Input(given.shape[1:], dtype=given.dtype, name="rows")
    logits = keras.Input(shape, name="expert_logits")
    fused = mixture.fusion([logits, mixture.gate(rows)])
    head = keras.Model(node.outputs[0], graph.output, name="head")
    return keras.Model([rows, logits], head(fused), name="gate_view")


def _rows(inputs: Any, places: np.ndarray) -> Any:
    return keras.tree.map_structure(lambda array: array[places], inputs)
