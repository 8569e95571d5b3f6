"""Any Keras model as an expert, trained further or frozen."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require, require_counts
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.lora import add_lora, freeze_base
from moe_keras.layers.registration import register
from moe_keras.ops.cost import count_multiply_adds


@register
class ModelExpert(ExpertBank):
    """Bank of one expert: a Keras model that reads one input whole.

    Args:
        model: `keras.Model` with one input and one output, pretrained or not.
        trainable: bool. False freezes the model; its batch normalisation then
            keeps its statistics. Defaults to `True`.
        lora_rank: int > 0 or None. R: the model, which must be built, stays as
            it is, and each of its layers that has `enable_lora` learns a
            difference of rank R to its kernel. The layers of `model` itself are
            changed. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: `(B, ...)`, as the model wants them: floats, or integers such as
            the ids of words.
        gates: float `(B, 1)` or None; where 0, the model is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(1,)` or None; with it, the result is `(B, U)`.

    Returns:
        `(B, 1, U)`: the model's output behind an expert axis of length 1.

    Source: Hu et al. (2021), arXiv:2106.09685 (`lora_rank`).

    Example:
    >>> ModelExpert(pretrained, trainable=False)(images).shape
    TensorShape([32, 1, 10])
    """

    def __init__(
        self,
        model: keras.Model,
        trainable: bool = True,
        lora_rank: int | None = None,
        **kwargs: Any,
    ):
        require(
            isinstance(model, keras.Model),
            "ModelExpert",
            "`model` must be a keras.Model.",
            model=model,
        )
        if model.built:
            _check_ends(model)
        super().__init__(1, **kwargs)
        self.model = model
        self.lora_rank = lora_rank
        if lora_rank is not None:
            require_counts("ModelExpert", lora_rank=lora_rank)
            add_lora(model, lora_rank, "ModelExpert")
        self.trainable = trainable
        self.supports_jit = model.supports_jit

    @property
    def trainable(self) -> bool:
        """Whether what can be trained is; with LoRA, that is LoRA alone."""
        return bool(keras.layers.Layer.trainable.fget(self))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Layer.trainable.fset(self, value)
        # Keras' setter reaches every weight inside.
        if value and getattr(self, "lora_rank", None) is not None:
            freeze_base(self.model)

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        if not self.model.built:
            self.model.build((None, *row_shape))
        _check_ends(self.model)

    def split_bank(self) -> list[Any]:
        return [self.model]

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        return expert(rows, training=training)

    def run_group(self, expert: Any, group: Any, training: bool | None) -> Any:
        # Without rows the model must not learn statistics from the row of zeros
        # that it runs on.
        learns = training and self.trainable and self.lora_rank is None
        states = expert.non_trainable_variables if learns else []
        before = [ops.copy(state.value) for state in states]
        outputs = super().run_group(expert, group, training)
        rows = ops.shape(group[0])[0]
        for state, value in zip(states, before, strict=True):
            state.assign(ops.where(rows > 0, state.value, value))
        return outputs

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return tuple(self.model.compute_output_shape((None, *row_shape)))[1:]

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        return count_multiply_adds(self.model, input_shape=row_shape).total

    def widths(self) -> dict[str, Any]:
        """None: the size of a given model is fixed."""
        return {}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_experts"]
        return {
            **config,
            "model": keras.saving.serialize_keras_object(self.model),
            "trainable": self.trainable,
            "lora_rank": self.lora_rank,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ModelExpert":
        config = dict(config)
        config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)


def _check_ends(model: keras.Model) -> None:
    """Refuse a model that reads or returns several tensors."""
    ends = [
        keras.tree.flatten(getattr(model, end, None) or [])
        for end in ("inputs", "outputs")
    ]
    names, outputs = ([tensor.name for tensor in end] for end in ends)
    require(
        # A model of a class of its own does not say.
        len(names) <= 1 and len(outputs) <= 1,
        "ModelExpert",
        "`model` must have one input and one output: wrap one that joins its "
        "inputs, or keras.Model(model.input, model.outputs[0]).",
        inputs=names,
        outputs=outputs,
    )
