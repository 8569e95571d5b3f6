"""The space of risk mixtures: scorecards and networks, without forests."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_keras.data import Dataset, Split
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.search.hypermodels.moe_hypermodel import MoEHyperModel
from moe_keras.search.hypermodels.space import Space, deal, gate_arguments
from moe_keras.training import Recipe
from moe_keras.training.builders import read_schema


class RiskMoEHyperModel(MoEHyperModel):
    """Mixtures of `build_risk_moe`, all parts trained together.

    Forests are not among the experts: they are fitted apart, which
    `fit_risk_moe` does for the experts that were found here.

    - `kinds`: of experts, dealt out in turn.
    - `experts`: E.
    - `top_k`: K; 0 for all.
    - `gate`: reads the row, or gives equal weights.
    - `width`: hidden units of dense and low-rank experts; 4 times the rank of
      crosses.
    - `bins`: pieces of a number at most, for all but linear experts.
    - `balance_loss`: of a sparse gate; the importance loss of a gate for all.
    - `learning_rate`: its peak.

    Args:
        data: see `MoEHyperModel`.
        schema: `RiskSchema` of the columns. If None: that of the recipe, or
            what is inferred from the training rows.
        base: see `MoEHyperModel`. Its forests, folds and `out_of_fold` are left
            out.
        **options: see `MoEHyperModel`.
    """

    task = "risk"

    def __init__(
        self,
        data: Dataset,
        schema: RiskSchema | None = None,
        base: Recipe | None = None,
        **options: Any,
    ):
        self.check_data(data)
        if base is not None:
            schema = schema or read_schema(base.builder.arguments)
            base = _trained_together(base)
        self.schema = schema or infer_schema(data.train.columns(), None)
        super().__init__(data, base=base, **options)
        self.data = replace(
            self.data,
            train=self._checked(data.train),
            validation=self._checked(data.validation),
        )

    def own_space(self) -> Space:
        return {
            "kinds": (
                *("linear", "dense", "cross", "low_rank"),
                *("linear+dense", "linear+cross", "linear+low_rank"),
                "linear+cross+low_rank",
            ),
            "gate": ("row", "uniform"),
            "width": (32, 64, 128, 256),
            "bins": (8, 16, 32),
        }

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        kinds = deal(values["experts"], values["kinds"].split("+"))
        width = values["width"]
        options: dict[str, dict[str, Any]] = {
            "linear": {},
            "dense": {"hidden_units": width, "output_activation": None},
            "cross": {"rank": width // 4},
            "low_rank": {"hidden_units": [width, width]},
        }
        found: dict[str, Any] = {
            "schema": self.schema.model_dump(mode="json"),
            "experts": {
                kind: [{"num_experts": count, **options[kind]}]
                for kind, count in kinds.items()
            },
        }
        if set(kinds) - {"linear"}:
            found["bins"] = values["bins"]
        return {**found, **gate_arguments(values)}

    def _checked(self, split: Split) -> Split:
        return Split(self.schema.check(split.columns()), split.labels)


def _trained_together(base: Recipe) -> Recipe:
    """A recipe without what is fitted apart."""
    arguments = dict(base.builder.arguments)
    arguments.pop("forests", None)
    builder = base.builder.model_copy(update={"arguments": arguments})
    update = {"folds": None, "out_of_fold": None, "builder": builder}
    return base.model_copy(update=update)
