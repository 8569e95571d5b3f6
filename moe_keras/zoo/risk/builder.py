"""The builder of risk models: columns, experts, gate, calibration."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from moe_keras.errors import is_count, require
from moe_keras.layers import (
    ExpertBank,
    LogitFusion,
    MixtureOfExperts,
    TableColumns,
)
from moe_keras.schema import RiskSchema
from moe_keras.zoo.kinds import Experts, check_gate, check_kinds
from moe_keras.zoo.risk.experts import (
    GIVEN,
    KINDS,
    OWNER,
    Columns,
    make_encoded,
    make_forests,
    sizes_of,
)
from moe_keras.zoo.risk.gates import GateMaker
from moe_keras.zoo.risk.heads import add_head, check_priors, read_priors
from moe_keras.zoo.risk.multi_task import (
    Targets,
    add_tasks,
    read_sharing,
    read_targets,
)

DEFAULT_EXPERTS: Experts = MappingProxyType({"linear": 1, "low_rank": 8})
# Rows that are read at once, for the quantiles.
BATCH_SIZE = 10_000


def build_risk_moe(
    schema: RiskSchema,
    table: Any,
    experts: Experts = DEFAULT_EXPERTS,
    forests: Sequence[Any] = (),
    num_classes: int = 2,
    top_k: int | None = None,
    gate: keras.layers.Layer | str | None = None,
    fusion: str = "logarithmic",
    bins: int = 32,
    scorecard_bins: int = 16,
    gate_bins: int = 8,
    balance_loss: float = 1e-2,
    importance_loss: float = 0.0,
    dispatch: str = "auto",
    train_prior: Any = None,
    prior: Any = None,
    targets: Targets | None = None,
    sharing: str | Mapping[str, Any] = "mmoe",
    name: str = "risk_moe",
) -> keras.Model:
    """A classifier of the rows of a table whose experts differ in kind.

    Raw columns, by name, become a row of numbers and categories inside the
    model (`TableColumns`). Every expert reads the row and gives logits of the
    classes, of which class 1 of 2 is the bad one:

    - `"linear"`: a scorecard: a linear classifier of bins (`LinearExpert` on
      steps), whose points `moe_keras.insight.scorecard` shows;
    - `"dense"`, `"cross"`, `"low_rank"`: networks (`DenseExpert`,
      `CrossExpert`, `LowRankExpert`) on piecewise-linear pieces of the numbers;
    - `forests`: fitted trees of other libraries (`ForestExpert`).

    In columns that the schema says to be monotone the result is monotone: the
    gate does not see them, nor what is derived from them; linear experts hold
    their weights to the sign; networks do not read them; and trees are checked
    to be monotone in them. Last comes a temperature, 1 until
    `moe_keras.training.fit_temperature` sets it, and the correction of the
    class shares, if `train_prior` is given.

    With `targets` the model has an output for each of them. Experts, without
    trees, then return features; each target has a gate of its own over them
    (`MultiGateMixture`), a small network from their mean to its logits, and its
    own temperature and correction.

    Args:
        schema: `RiskSchema`, what the raw columns are.
        table: a data frame, or a dict of arrays `(N,)`: the training rows, for
            the quantiles of the numbers; see `RiskSchema.check`.
        experts: by kind, how many experts one bank of it has, or a list with
            the arguments of several banks: `{"linear": 1, "low_rank":
            [{"num_experts": 16, "hidden_units": [256, 256]}]}`.
        forests: classifiers of scikit-learn, XGBoost, LightGBM or CatBoost,
            fitted to the rows of `TableColumns`; or `ForestExpert`.
        num_classes: int > 1. C.
        top_k: int in 1..E or None: experts that see a row; None for all.
        gate: a gate over rows `(B, D)`; `"uniform"` for fixed equal weights of
            all experts; None for a `GatingLayer` over an encoding of the row,
            with a bias with which all banks begin with equal weights. Only with
            None do `top_k` and the coefficients below count.
        fusion: `"logarithmic"` or `"linear"`: whether the experts' logits or
            their probabilities are averaged; see `LogitFusion`.
        bins: int > 1. Pieces of a number at most, for networks.
        scorecard_bins: int > 1. Bins of a number at most, for linear experts.
        gate_bins: int > 1. Pieces of a number at most, for the gate.
        balance_loss: float >= 0. Coefficient of the Switch balance loss; for a
            sparse gate.
        importance_loss: float >= 0. Coefficient of the importance loss.
        dispatch: see `MixtureOfExperts`.
        train_prior: the class shares of the training, `(C,)`, where they are
            not those of the rows to be served; see `PriorCorrection`. With
            `targets` a dict of them, of the targets that need one.
        prior: in the same way those of the rows to be served; None for those
            that `moe_keras.training.fit_prior` finds later.
        targets: names of several targets, of two classes each, or a dict of
            names and numbers of classes; None for one target without a name.
        sharing: with `targets`: `"mmoe"`, where all experts are shared, or
            `"ple"`, with experts of each target; or a dict with `kind`, and
            with `units` (features of an expert, 32), `tower_units` (of each
            target's hidden layer, 16, None for none) and, of `"ple"`, `own`
            (experts of each target, as `experts`) and `levels` (1).
        name: of the model.

    Returns:
        `keras.Model`, not compiled: a dict of raw columns `(B,)` -> `(B, C)`
        probabilities in float32, or a dict of them by target. Columns of texts
        need TensorFlow's backend.

    Raises:
        ValueError: for arguments out of range, a table that does not fit the
            schema, experts of unknown kinds, forests that are not monotone
            where the schema asks, monotone columns with more than two classes,
            and `top_k` with a `gate`.

    Source: Jacobs et al. (1991), Neural Computation 3(1), for the mixture;
        Gorishniy et al. (2022), arXiv:2203.05556, for the pieces.

    Example:
    >>> schema = infer_schema(loans, target="risk", bad="bad")
    >>> model = build_risk_moe(schema, loans, forests=[fitted])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> model.fit(schema.check(loans), schema.labels(loans))
    """
    _check(schema, num_classes, experts, forests)
    check_gate(gate, top_k, "rows", OWNER)
    check_priors(train_prior, prior)
    reader = TableColumns(**schema.table_columns(), name="columns")
    columns = Columns(reader.row_names, reader.levels, schema.row_monotone())
    rows = read_rows(reader, schema.check(table))
    router = {
        "top_k": top_k,
        "balance_loss": balance_loss,
        "importance_loss": importance_loss,
    }
    gates = GateMaker(columns, rows, gate_bins, gate == "uniform", router)
    classes = {} if targets is None else read_targets(targets)
    inputs = reader.make_inputs(_layer_names(classes, sharing))
    if targets is not None:
        _check_single(columns, forests, num_classes, gate, fusion, dispatch)
        outputs = add_tasks(
            reader(inputs),
            classes,
            read_sharing(sharing),
            experts,
            gates,
            (bins, scorecard_bins),
            (
                read_priors("train_prior", train_prior, list(classes)),
                read_priors("prior", prior, list(classes)),
            ),
        )
        return keras.Model(inputs, outputs, name=name)
    require(
        sharing == "mmoe",
        OWNER,
        "`sharing` is for several `targets`.",
        sharing=sharing,
    )
    banks: list[ExpertBank] = make_encoded(
        experts, columns, rows, num_classes, bins, scorecard_bins
    )
    banks += make_forests(forests, columns, num_classes)
    if not isinstance(gate, keras.layers.Layer):
        gate = gates.of_rows(sizes_of(banks), "gating")
    x = MixtureOfExperts(
        banks,
        gate,
        LogitFusion(fusion, name="fusion"),
        dispatch=dispatch,
        name="moe",
    )(reader(inputs))
    outputs = add_head(x, None, train_prior, prior)
    return keras.Model(inputs, outputs, name=name)


def _layer_names(targets: Mapping[str, int], sharing: Any) -> set[str]:
    """What a model may have of layers beside its inputs."""
    heads = ("temperature", "prior", "probabilities", "tower", "logits")
    levels = read_sharing(sharing).levels
    return {
        *("moe", *(f"moe_{level}" for level in range(2, levels + 1))),
        *(heads[:3] if not targets else ()),
        *(f"{head}_{target}" for head in heads for target in targets),
    }


def _check_single(
    columns: Columns,
    forests: Any,
    num_classes: Any,
    gate: Any,
    fusion: Any,
    dispatch: Any,
) -> None:
    """Refuse what a model with several targets has not got."""
    require(
        not any(columns.monotone.signs),
        OWNER,
        "monotone columns are for a model of one target: a sign says nothing "
        "of the others.",
        columns=[
            name
            for name, sign in zip(
                columns.names, columns.monotone.signs, strict=True
            )
            if sign
        ],
    )
    told = {
        "forests": (forests, not forests),
        "num_classes": (num_classes, num_classes == 2),
        "gate": (gate, gate in (None, "uniform")),
        "fusion": (fusion, fusion == "logarithmic"),
        "dispatch": (dispatch, dispatch == "auto"),
    }
    for name, (value, usual) in told.items():
        require(
            usual,
            OWNER,
            f"`{name}` is for a model of one target, not for `targets`.",
            **{name: value},
        )


def read_rows(
    reader: TableColumns, table: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The rows `(N, D)` that a `TableColumns` makes of a checked table."""
    count = len(next(iter(table.values())))
    parts = [np.empty((0, len(reader.row_names)), "float32")]
    for start in range(0, count, BATCH_SIZE):
        part = {
            key: values[start : start + BATCH_SIZE]
            for key, values in table.items()
        }
        parts.append(keras.ops.convert_to_numpy(reader(part)))
    return np.concatenate(parts)


def _check(schema: Any, num_classes: Any, experts: Any, forests: Any) -> None:
    """Refuse what no layer could name, before the table is read."""
    require(
        isinstance(schema, RiskSchema),
        OWNER,
        "`schema` must be a RiskSchema, such as infer_schema makes.",
        schema=type(schema).__name__,
    )
    require(
        is_count(num_classes) and num_classes > 1,
        OWNER,
        "`num_classes` must be an integer above 1.",
        num_classes=num_classes,
    )
    require(
        num_classes == 2 or not any(schema.row_monotone().signs),
        OWNER,
        "monotone columns are for two classes.",
        num_classes=num_classes,
    )
    require(
        isinstance(forests, Sequence) and not isinstance(forests, str),
        OWNER,
        "`forests` must be a list of fitted classifiers, such as "
        "[HistGradientBoostingClassifier().fit(X, y)].",
        forests=forests,
    )
    check_kinds(experts, KINDS, GIVEN, OWNER, optional=bool(forests))
