"""A stage of a training: which parts learn, from which loss, how long."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from moe_keras.training.recipe_parts import Count, Name, Part

Weight = Annotated[float, Field(ge=0)]

# By loss, the parts that it does not reach.
_OUT_OF_REACH = {
    "experts": {"gate", "fusion", "shared"},
    "mixture_likelihood": {"fusion", "shared"},
    "averaged": {"fusion", "shared"},
    "model": set(),
}


class Stage(Part):
    """One `fit` of some parts of a model, the others frozen.

    Attributes:
        name: of the stage, in the history.
        train: `"experts"`: the banks of all mixtures; `"gate"`, `"fusion"` and
            `"shared"`: those of all mixtures; `"head"`: all outside of
            mixtures, in front of them too; `"all"`; the name of a layer, with
            all inside it; or several of these.
        epochs: int > 0.
        learning_rate: in (0, 10].
        loss: `"model"`: what the model is compiled with;
            `"mixture_likelihood"` and `"averaged"`: see `moe_keras.losses`;
            `"experts"`: the sum of the experts' cross-entropies, so that each
            learns as if it were alone. Losses that layers add, such as those of
            gates, are in all of them.
        expert_weights: E numbers >= 0. Weights of the experts' cross-entropies
            in the sum of `"experts"`, where None stands for 1; to other losses
            that sum is added, unless this is None.
        data: `"train"`, or `"validation"` to learn from the rows that were held
            out: experts that know their training rows by heart are no guide
            for a gate on these rows (Wolpert, 1992, Neural Networks 5(2)).
            There is no validation in such a stage.
        dense_gates: whether the gates weigh all experts in this stage, however
            few they choose; see `moe_keras.training.dense_gates`.
        patience: epochs without a better validation loss after which the stage
            ends, with the weights of its best epoch; None for off.
    """

    name: Name
    train: str | tuple[str, ...] = "all"
    epochs: Count = 1
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    loss: Literal["model", "mixture_likelihood", "averaged", "experts"] = (
        "model"
    )
    expert_weights: tuple[Weight, ...] | None = None
    data: Literal["train", "validation"] = "train"
    dense_gates: bool = False
    patience: Count | None = None

    @field_validator("train", "expert_weights", mode="before")
    @classmethod
    def _list_as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _the_loss_reaches_a_part(self) -> "Stage":
        if not self.parts:
            raise ValueError("train must name a part or a layer")
        if set(self.parts) <= _OUT_OF_REACH[self.loss]:
            raise ValueError(
                f"the loss {self.loss!r} does not reach {self.train!r}"
            )
        if self.data == "validation" and self.patience is not None:
            raise ValueError("patience needs data: train")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """`train` as a tuple."""
        return (self.train,) if isinstance(self.train, str) else self.train

    @property
    def asks_experts(self) -> bool:
        """Whether the loss needs the outputs of single experts."""
        return self.loss != "model" or self.expert_weights is not None


DEFAULT_STAGES = (
    Stage(name="experts", train="experts", epochs=5, loss="experts"),
    Stage(name="gate", train="gate", epochs=3),
    Stage(name="fusion", train="fusion", epochs=3),
    Stage(name="all", train="all", epochs=5, learning_rate=1e-4),
)
