"""Train a risk mixture: trees and networks apart, the gate on what they missed.

1. The rows are cut into folds. For each, all experts are fitted to the others,
   and asked about it: what they say out of fold is what they know.
2. All experts are fitted anew, to all rows: these are in the model.
3. The gate, and then the temperature, are fitted to the opinions of step 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require, require_counts
from moe_keras.layers import PriorCorrection
from moe_keras.schema import RiskSchema
from moe_keras.training.banks_alone import BankTrainer
from moe_keras.training.calibrate import best_temperature
from moe_keras.training.forest_fit import fit_forests
from moe_keras.training.gate_fit import (
    Kept,
    fit_gate,
    predict_out_of_fold,
)
from moe_keras.training.generators import held_generators
from moe_keras.training.stages import StagesHistory
from moe_keras.zoo import build_risk_moe
from moe_keras.zoo.kinds import Experts
from moe_keras.zoo.risk.builder import DEFAULT_EXPERTS, read_rows

OWNER = "fit_risk_moe"
Note = Callable[[str], None]


@dataclass(frozen=True)
class RiskFit:
    """A trained risk mixture, and what its experts said out of fold.

    Attributes:
        model: `keras.Model`, from raw columns to probabilities.
        expert_logits: float `(N, E, C)`, for each row by experts that were not
            fitted to it.
        probabilities: float `(N, C)`, the gate's mixture of these. The gate has
            seen the rows: a little better than on new ones.
        history: by name, a value for each epoch of the networks, where they
            were fitted to all rows, and then of the gate, NaN where there is
            none; under `stage`, `"experts"` or `"gate"`.
    """

    model: keras.Model
    expert_logits: np.ndarray
    probabilities: np.ndarray
    history: dict[str, list[Any]]


@dataclass(frozen=True)
class RiskPlan:
    """How a risk mixture is built and trained.

    Attributes:
        experts: by kind; see `build_risk_moe`.
        forests: classifiers of scikit-learn, or with its interface, not fitted.
            Where the schema has monotone columns, their constraints are set,
            and what is derived from such columns is hidden from them.
        builder: further arguments of `build_risk_moe`, such as `top_k`.
        folds: int > 1. Of step 1.
        epochs: int > 0, of the experts that are networks.
        learning_rate: float > 0, of these, at first; it falls to 0 along a half
            cosine.
        weight_decay: float >= 0, decoupled, of these (AdamW).
        batch_size: int > 0.
        gate_epochs: int >= 0; 0 leaves the gate as it begins.
        gate_learning_rate: float > 0, at first.
        calibrate: whether the temperature is fitted.
    """

    experts: Experts = field(default_factory=lambda: DEFAULT_EXPERTS)
    forests: Sequence[Any] = ()
    builder: Mapping[str, Any] | None = None
    folds: int = 5
    epochs: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 256
    gate_epochs: int = 10
    gate_learning_rate: float = 1e-3
    calibrate: bool = True

    def __post_init__(self) -> None:
        require_counts(OWNER, epochs=self.epochs, batch_size=self.batch_size)
        targets = (self.builder or {}).get("targets")
        require(
            targets is None,
            OWNER,
            "`builder` must be of one target; models of several are trained by "
            "`fit`.",
            targets=targets,
        )


@held_generators()
def fit_risk_moe(
    schema: RiskSchema,
    table: Any,
    labels: Any,
    plan: RiskPlan | None = None,
    num_classes: int = 2,
    seed: int = 0,
    note: Note | None = None,
    kept: Kept | None = None,
) -> RiskFit:
    """Build and train a risk mixture.

    Args:
        schema: what the columns are.
        table: a data frame, or a dict of arrays `(N,)`; see `RiskSchema.check`.
        labels: int `(N,)`, in 0..C-1, such as `RiskSchema.labels` makes.
        plan: `RiskPlan`; its defaults if None.
        num_classes: int > 1. C.
        seed: int >= 0, of folds, weights, order and trees. Threads fit one
            after the other; see `MoEClassifier`.
        note: told of each step as it begins, in a few words.
        kept: see `predict_out_of_fold`; for going on after an interruption.

    Returns:
        `RiskFit`.

    Raises:
        ValueError: for a table that does not fit the schema, labels that do not
            fit the table, and what `build_risk_moe` refuses.

    Source: Wolpert (1992), Stacked generalization, Neural Networks 5(2).
    """
    plan = plan or RiskPlan()
    note = note or (lambda _: None)
    checked = schema.check(table)
    labels = np.asarray(labels)
    rows = len(next(iter(checked.values())))
    require(
        labels.shape == (rows,),
        OWNER,
        f"`labels` must be ({rows},), one for each row of the table.",
        labels_shape=labels.shape,
    )

    history = StagesHistory()
    trainer = BankTrainer(
        plan.epochs, plan.batch_size, plan.learning_rate, plan.weight_decay
    )

    def fit(part: Any, own: np.ndarray, fold: int) -> keras.Model:
        note(
            "the experts, all rows"
            if fold < 0
            else f"the experts, fold {fold + 1} of {plan.folds}"
        )
        keras.utils.set_random_seed(seed + fold + 1)
        model, found = _fit_experts(
            schema, part, own, plan, num_classes, seed, trainer
        )
        if found is not None and fold < 0:
            history.join("experts", found)
        return model

    logits = predict_out_of_fold(fit, checked, labels, plan.folds, seed, kept)
    model = fit(checked, labels, -1)
    gate = model.get_layer("moe").gate
    # One expert gets all the weight, whatever its gate has learned.
    if plan.gate_epochs and gate.num_experts > 1 and gate.trainable_variables:
        note("the gate")
        found = fit_gate(
            model,
            checked,
            labels,
            logits,
            epochs=plan.gate_epochs,
            learning_rate=plan.gate_learning_rate,
            batch_size=plan.batch_size,
            seed=seed,
        )
        history.join("gate", found)
    fused = _fuse(model, checked, logits)
    temperature = model.get_layer("temperature")
    if plan.calibrate:
        weights = np.ones(rows)
        temperature.scale.assign(best_temperature(fused, labels, weights))
    scaled = temperature(fused)
    for layer in model.layers:
        if isinstance(layer, PriorCorrection):
            scaled = layer(scaled)
    probabilities = keras.ops.softmax(scaled)
    return RiskFit(
        model,
        logits,
        keras.ops.convert_to_numpy(probabilities),
        history.history,
    )


def _fit_experts(
    schema: RiskSchema,
    table: Any,
    labels: np.ndarray,
    plan: RiskPlan,
    num_classes: int,
    seed: int,
    trainer: BankTrainer,
) -> tuple[keras.Model, keras.callbacks.History | None]:
    """A model with all experts fitted, each alone; of networks, how it went."""

    def build(forests: Sequence[Any], **changes: Any) -> keras.Model:
        arguments = {**(plan.builder or {}), **changes}
        return build_risk_moe(
            schema, table, plan.experts, forests, num_classes, **arguments
        )

    forests = fit_forests(schema, table, labels, plan.forests, seed)
    model = build(forests)
    if not plan.experts:
        return model, None
    # Without the trees, which would say the same at each step; and so without
    # the gate, which counts them.
    networks = build((), gate="uniform", top_k=None) if forests else model
    trained = networks.get_layer("moe").experts
    rows = read_rows(networks.get_layer("columns"), table)
    history = trainer.fit(trained, rows, labels)
    # Trees come last.
    banks = model.get_layer("moe").experts[: len(trained)]
    for bank, source in zip(banks, trained, strict=True):
        bank.set_weights(source.get_weights())
    return model, history


def _fuse(model: keras.Model, table: Any, logits: np.ndarray) -> np.ndarray:
    """Log-probabilities of the mixture of given logits, `(N, C)`."""
    mixture = model.get_layer("moe")
    rows = read_rows(model.get_layer("columns"), table)
    parts = []
    for start in range(0, len(rows), 10_000):
        place = slice(start, start + 10_000)
        gates = mixture.gate(keras.ops.convert_to_tensor(rows[place]))
        fused = mixture.fusion([logits[place], gates])
        parts.append(keras.ops.convert_to_numpy(fused))
    return np.concatenate(parts).astype("float64")
