"""The parts of a recipe: what each may hold, and within which range."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from moe_keras.training.builders import BUILDERS, check_arguments
from moe_keras.training.part import Part as Part

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]

TWINS = {"active_twin": "active", "parameter_twin": "parameters"}
# Models of others, by the task whose data they read.
OUTSIDE = {
    "sentiment": ("nb_svm", "tfidf_logistic"),
    "risk": (
        *("logistic_bins", "random_forest"),
        *("lightgbm", "xgboost", "catboost", "tabm", "boosting"),
    ),
}
RIVALS = tuple(name for names in OUTSIDE.values() for name in names)


class Data(Part):
    """What to train on.

    Attributes:
        name: of a data set, as `moe_keras.data.load_dataset` takes it.
        options: its further arguments.
    """

    name: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = {}

    @field_validator("options")
    @classmethod
    def _leave_the_folder_to_the_caller(
        cls, options: dict[str, Any]
    ) -> dict[str, Any]:
        if taken := {"name", "data_dir"} & set(options):
            raise ValueError(
                f"{', '.join(sorted(taken))} cannot be an option: the folder "
                "of the data differs from machine to machine"
            )
        return options


class Builder(Part):
    """Which model to build.

    Attributes:
        name: a key of `moe_keras.training.BUILDERS`.
        arguments: the builder's arguments. Not those that the data say, such as
            `input_shape` and `num_classes`, and not `name`.
    """

    name: str
    arguments: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BUILDERS:
            raise ValueError(f"must be one of {', '.join(BUILDERS)}")
        return name

    @field_validator("arguments")
    @classmethod
    def _fit_the_signature(cls, arguments: dict[str, Any], info: Any) -> Any:
        if "name" in info.data:
            check_arguments(info.data["name"], arguments)
        return arguments


class Augmentation(Part):
    """What happens to the training images, in this order, anew each epoch.

    Attributes:
        crop: pixels. A window of the image's size is cut at random from the
            image with a border of this width.
        flip: whether every second image, by chance, is mirrored left to right.
        cutout: pixels. Side of a square that is blotted out; its centre is
            anywhere in the image (DeVries & Taylor, 2017, arXiv:1708.04552).
        fill: what the border and the square are filled with, in the data's
            own units.
    """

    crop: Pixels = 0
    flip: bool = False
    cutout: Pixels = 0
    fill: float = 0.0


class Optimizer(Part):
    """How weights are updated.

    Attributes:
        name: `"adam"`, `"adamw"` or `"sgd"`.
        learning_rate: in (0, 10]; the schedule's peak.
        weight_decay: in [0, 1), decoupled, for `adamw` and `sgd`; biases and
            the gains and shifts of normalisations are not decayed.
        momentum: in [0, 1), for `sgd`.
        nesterov: for `sgd` with momentum.
        clipnorm: above 0: gradients longer than this, each by itself, are cut
            down to it.
        ema: in (0, 1): the momentum of a running mean of the weights. Scores,
            and the saved model, are those of the mean.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Share | None = None
    momentum: Share | None = None
    nesterov: bool = False
    clipnorm: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _options_are_those_of_the_kind(self) -> "Optimizer":
        if self.name == "adam" and self.weight_decay is not None:
            raise ValueError("adam takes no weight_decay: name it adamw")
        if self.name == "adamw" and self.weight_decay is None:
            raise ValueError("adamw needs weight_decay")
        if self.name != "sgd" and (self.momentum is not None or self.nesterov):
            raise ValueError(f"{self.name} takes no momentum and no nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum")
        return self


class Schedule(Part):
    """How the learning rate goes: see `RecipeSchedule`.

    Attributes:
        name: `"constant"`, `"cosine"` or `"one_cycle"`.
        warmup: in [0, 1), the share of all steps in which the rate rises; above
            0 for `one_cycle`.
    """

    name: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: Share = 0.0

    @model_validator(mode="after")
    def _one_cycle_rises(self) -> "Schedule":
        if self.name == "one_cycle" and not self.warmup:
            raise ValueError("one_cycle needs warmup above 0")
        return self


class Loss(Part):
    """Cross-entropy of the labels.

    Attributes:
        label_smoothing: in [0, 1), the weight of the uniform distribution in
            the target.
    """

    label_smoothing: Share = 0.0


class OutOfFold(Part):
    """How a gate is fitted to what experts say of rows that are new to them.

    See `moe_keras.training.fit_risk_moe`.

    Attributes:
        folds: int > 1. Parts of the training rows: for each, all experts are
            fitted to the others, and asked about it.
        gate_epochs: passes over these answers; 0 leaves the gate as it begins.
        gate_learning_rate: in (0, 10], at first.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    gate_epochs: Annotated[int, Field(ge=0)] = 10
    gate_learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3


class Monitor(Part):
    """Which epoch's weights are kept.

    Attributes:
        metric: `"val_accuracy"`, `"val_log_loss"` or `"val_loss"`; the first
            epoch with the best value counts.
        patience: epochs without a better value after which training ends.
    """

    metric: Literal["val_accuracy", "val_log_loss", "val_loss"]
    patience: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value


class Baseline(Part):
    """A model to compare with, trained in the same way unless it is outside.

    Attributes:
        name: `"active_twin"`, `"parameter_twin"`, or one of your own.
        twin: `"active"` or `"parameters"`: a dense twin of the model.
        bank: of a twin, place or name of the bank that gives its expert its
            kind; see `dense_twin`.
        arguments: the builder's arguments that differ from the model's; with
            `variant` among them they are all that it gets.
        recombine: `"uniform"`, `"stacking"`, the name of an expert or a bank,
            or several: what the experts of the model are without its gate.
            Nothing is trained for it; see `moe_keras.runner.recombined`.
        outside: a name in `OUTSIDE`: a model of others, `"nb_svm"` and
            `"tfidf_logistic"` for texts, the rest for tables. They are not
            trained before, but fitted when models are compared, to all rows but
            those of the split. See `fit_outside`.
        staged: False trains the model's parts together, for the recipe's
            `epochs`, where the recipe has stages. A twin has no parts.
    """

    name: Name
    twin: Literal["active", "parameters"] | None = None
    bank: int | str = 0
    arguments: dict[str, Any] = {}
    recombine: str | list[str] | None = None
    outside: str | None = None
    staged: bool = True

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, dict) and value.get("name") in TWINS:
            value = {"twin": TWINS[value["name"]], **value}
        if isinstance(value, dict) and value.get("name") in RIVALS:
            value = {"outside": value["name"], **value}
        return value

    @field_validator("outside")
    @classmethod
    def _outside_is_known(cls, outside: str | None) -> str | None:
        if outside is not None and outside not in RIVALS:
            raise ValueError(f"must be one of {', '.join(RIVALS)}")
        return outside

    @model_validator(mode="after")
    def _differs(self) -> "Baseline":
        kinds = (
            self.twin,
            self.recombine,
            self.outside,
            self.arguments,
            not self.staged,
        )
        if not any(kinds):
            raise ValueError(
                f"must be one of {', '.join((*TWINS, *RIVALS))}, or have "
                "twin, recombine, outside, arguments or staged: false"
            )
        if self.twin is None and self.bank != 0:
            raise ValueError("bank is for twins")
        return self
