"""What a model may cost, and what it does cost before it is trained."""

import math
from dataclasses import asdict, dataclass

import keras

from moe_keras.data import Split
from moe_keras.errors import require
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.quiet import without_log
from moe_keras.runner.latency import single_rows, time_calls

# Calls that are timed; the median of fewer would move from run to run.
TIMED_ROWS = 50


@dataclass(frozen=True)
class ModelCost:
    """What a model costs.

    Attributes:
        multiply_adds: active ones per example; see
            `moe_keras.ops.cost.count_multiply_adds`.
        parameters: int, number of weights.
        latency_ms: median of `predict_on_batch` with one row; None where it was
            not measured.
    """

    multiply_adds: float
    parameters: int
    latency_ms: float | None = None


@dataclass(frozen=True)
class Budget:
    """What a model may cost at most; at least one limit.

    Attributes:
        max_multiply_adds: > 0, active ones per example; None for any number.
        max_parameters: > 0, number of weights; None for any number.
        max_latency_ms: > 0, milliseconds of one row on this machine; None for
            any, and nothing is timed.

    Raises:
        ValueError: without a limit, or for one that is not above 0.
    """

    max_multiply_adds: float | None = None
    max_parameters: float | None = None
    max_latency_ms: float | None = None

    def __post_init__(self) -> None:
        limits = asdict(self)
        require(
            any(limit is not None for limit in limits.values()),
            "Budget",
            f"at least one of {', '.join(limits)} must be given.",
            **limits,
        )
        for name, limit in limits.items():
            require(
                limit is None
                or (
                    isinstance(limit, int | float)
                    and not isinstance(limit, bool)
                    and 0 < limit < math.inf
                ),
                "Budget",
                f"`{name}` must be a number above 0.",
                **{name: limit},
            )

    def excess(self, cost: ModelCost) -> str | None:
        """Which limit a cost is above, in words; None within the budget."""
        for limit, found, unit in (
            (self.max_multiply_adds, cost.multiply_adds, "multiply-adds"),
            (self.max_parameters, cost.parameters, "parameters"),
            (self.max_latency_ms, cost.latency_ms, "ms"),
        ):
            if limit is not None and found is not None and found > limit:
                return f"{found:,.6g} {unit}, above {limit:,.6g}"
        return None


def measure_cost(
    model: keras.Model, split: Split, latency: bool = False
) -> ModelCost:
    """What a model costs, trained or not.

    Args:
        model: built; its gates are taken to spread the rows evenly.
        split: rows to time it with.
        latency: whether to.
    """
    milliseconds = None
    if latency:
        rows = single_rows(split.inputs)[:TIMED_ROWS]
        # TensorFlow takes the functions of several models for one that changes.
        with without_log("tensorflow", "triggered tf.function retracing"):
            milliseconds = time_calls(model.predict_on_batch, rows)["p50"]
    return ModelCost(
        multiply_adds=count_multiply_adds(model).active,
        parameters=model.count_params(),
        latency_ms=milliseconds,
    )
