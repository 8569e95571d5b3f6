"""The space of risk mixtures: scorecards and networks, without forests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.data import Dataset, Split
from moe_keras.layers import TableColumns
from moe_keras.runner.files import (
    CHECKPOINTS,
    MODEL,
    RESULT,
    read_json,
    write_json,
    write_model,
)
from moe_keras.runner.plan import SPLITS, digest
from moe_keras.runner.scoring import cost, score
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.search.hypermodels.moe_hypermodel import MoEHyperModel, Values
from moe_keras.search.hypermodels.space import Space, deal, gate_arguments
from moe_keras.training.checkpoint import remove_checkpoints
from moe_keras.training.compiling import compile_for_use, compile_from_recipe
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.resumable import fit_resumable
from moe_keras.zoo import build_risk_moe
from moe_keras.zoo.risk.builder import read_rows


class RiskMoEHyperModel(MoEHyperModel):
    """Mixtures of `build_risk_moe`, all parts trained together.

    Forests are not among the experts: they are fitted apart, which
    `fit_risk_moe` does for the experts that were found here.

    - `kinds`: of experts, dealt out in turn.
    - `experts`: E.
    - `top_k`: K; 0 for all.
    - `gate`: reads the row, or, where no value is missing, gives equal weights.
    - `width`: hidden units of dense and low-rank experts; 4 times the rank of
      crosses.
    - `bins`: pieces of a number at most, for all but linear experts.
    - `balance_loss`: of a sparse gate; the importance loss of a gate for all.
    - `learning_rate`: its peak.

    Args:
        data: see `MoEHyperModel`.
        schema: `RiskSchema` of the columns; inferred from the training rows if
            None.
        **options: see `MoEHyperModel`.
    """

    task = "risk"

    def __init__(
        self, data: Dataset, schema: RiskSchema | None = None, **options: Any
    ):
        self.check_data(data)
        self.schema = schema or infer_schema(data.train.columns(), None)
        reader = TableColumns(**self.schema.table_columns())
        rows = read_rows(reader, self._checked(data.train).inputs)
        self._some_missing = bool(np.isnan(rows).any())
        super().__init__(data, **options)
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
            # In training, a gate over rows refuses those with missing values.
            "gate": ("row",) if self._some_missing else ("row", "uniform"),
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
            "experts": {
                kind: [{"num_experts": count, **options[kind]}]
                for kind, count in kinds.items()
            }
        }
        if set(kinds) - {"linear"}:
            found["bins"] = values["bins"]
        return {**found, **gate_arguments(values)}

    def build_model(self, values: Values) -> keras.Model:
        if self.in_recipes:
            return super().build_model(values)
        return build_risk_moe(
            self.schema,
            self.data.train.inputs,
            num_classes=len(self.data.classes),
            name=self.base.name,
            **self.recipe(values).builder.arguments,
        )

    def train(
        self,
        values: Values,
        folder: Path,
        seed: int = 0,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> dict[str, Any]:
        if self.in_recipes:
            return super().train(values, folder, seed, epochs, callbacks)
        folder = folder / str(seed)
        if (folder / RESULT).exists():
            done: dict[str, Any] = read_json(folder / RESULT)
            return done
        recipe = self.recipe(values, epochs)
        identity = {
            "recipe": recipe.training_facts(),
            "seed": seed,
            "data": {name: digest(getattr(self.data, name)) for name in SPLITS},
        }
        keras.utils.set_random_seed(seed)
        model = self.build_model(values)
        rows = self.data.validation
        batches = InputPipeline(
            *self.data.train.arrays, recipe.batch_size, seed
        )
        compile_from_recipe(model, recipe, batches.steps)
        record = fit_resumable(
            model,
            batches,
            rows.arrays,
            recipe.epochs,
            folder / CHECKPOINTS,
            identity,
            callbacks=callbacks,
        )
        result = {
            "seed": seed,
            **score(model, rows, len(self.data.classes)),
            **cost(model, rows),
            "epochs": record.epochs,
            "train_seconds": round(record.seconds, 2),
            "training": identity,
        }
        compile_for_use(model)
        write_model(folder / MODEL, model)
        write_json(folder / RESULT, result)
        remove_checkpoints(folder / CHECKPOINTS)
        return result

    def _checked(self, split: Split) -> Split:
        return Split(self.schema.check(split.columns()), split.labels)
