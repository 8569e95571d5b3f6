"""Experts that each see their own shifted and turned copies in training."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import read_banks
from moe_keras.layers.calls import read_layers
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.keeping import serialize_kept
from moe_keras.layers.registration import register

OWNER = "AugmentedExperts"


@register
class AugmentedExperts(ExpertBank):
    """A bank of experts on images, behind augmentation of each one's own.

    In training every expert draws for itself how each image, or each map of a
    stem, is shifted, turned and mirrored before the expert reads it: experts
    that see the same image see different copies, and differ the sooner. In
    inference the bank is the inner one.

    Args:
        experts: `ExpertBank` that reads `(B, H, W, C)`, such as `ConvExpert`.
        shift: float in [0, 1]: up to which share of a side images are shifted,
            both ways. Defaults to `0.1`.
        turn: float in [0, 1]: up to which share of a right angle they are
            turned, both ways. Defaults to `0.0`.
        flip: bool. Whether left and right may be swapped. Defaults to `False`.
        seed: int or None, of the draws. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, H, W, C)`.
        gates: float `(B, E)` or None; see the inner bank.
        group_sizes: int `(E,)` or None; the same.

    Returns:
        What the inner bank returns.

    Example:
    >>> bank = AugmentedExperts(ConvExpert((16,), 2, pooling="avg"), shift=0.2)
    >>> bank(np.ones((4, 8, 8, 3), "float32"), training=True).shape
    TensorShape([4, 2, 16])
    """

    needs_floats = True

    def __init__(
        self,
        experts: ExpertBank,
        shift: float = 0.1,
        turn: float = 0.0,
        flip: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        such_as = "ConvExpert(32, num_experts=4)"
        read_banks(OWNER, experts, such_as, single=True)
        for name, share in (("shift", shift), ("turn", turn)):
            rule = f"`{name}` must be in [0, 1]."
            require(0 <= share <= 1, OWNER, rule, **{name: share})
        super().__init__(experts.num_experts, **kwargs)
        self.experts = experts
        self.shift, self.turn, self.flip = shift, turn, flip
        self.seed = seed
        self.row_rank = experts.row_rank
        self.reads_samples = experts.reads_samples
        self.supports_masking = experts.supports_masking
        # Not in half precision, which not all operations on images know.
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        own = {"dtype": wide, "seed": seed}
        border = {"fill_mode": "nearest", **own}
        self._augmentations: list[keras.layers.Layer] = []
        if flip:
            self._augmentations.append(
                keras.layers.RandomFlip("horizontal", **own)
            )
        if shift:
            self._augmentations.append(
                keras.layers.RandomTranslation(shift, shift, **border)
            )
        if turn:
            # Keras counts in whole turns.
            self._augmentations.append(
                keras.layers.RandomRotation(turn / 4, **border)
            )
        # Keras rules jit out for TensorFlow's sake, and on JAX would then run
        # the whole model without it.
        if keras.backend.backend() == "jax":
            for layer in self._augmentations:
                layer.supports_jit = True

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 3,
            OWNER,
            "`inputs` must be (B, H, W, C), and `gates`, if any, (B, E).",
            row_shape=row_shape,
        )
        if not self.experts.built:
            self.experts.build((None, *row_shape))

    def split_bank(self) -> list[Any]:
        """The inner experts."""
        return self.experts.split_bank()

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        if training:
            for layer in self._augmentations:
                rows = layer(rows, training=True)
            rows = ops.cast(rows, self.compute_dtype)
        return self.experts.run_expert(expert, rows, mask, training)

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        if training:
            return super().run_all(rows, mask, training)
        return self.experts.run_all(rows, mask, training)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        if training:
            return super().run_groups(rows, group_sizes, mask, training)
        return self.experts.run_groups(rows, group_sizes, mask, training)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return self.experts.row_output_shape(row_shape)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        return self.experts.count_expert(row_shape)

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        experts = serialize_kept(self.experts, indices)
        return {**self.get_config(), "experts": experts}

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self.experts, indices)]

    def widths(self) -> dict[str, Any]:
        """Those of the inner bank."""
        return self.experts.widths()

    def single_expert(self, factor: float = 1.0) -> "AugmentedExperts":
        """One inner expert, behind the same augmentation."""
        config = self.get_config()
        return type(self)(
            **{**config, "experts": self.experts.single_expert(factor)}
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_experts"]
        return {
            **config,
            "experts": keras.saving.serialize_keras_object(self.experts),
            "shift": self.shift,
            "turn": self.turn,
            "flip": self.flip,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AugmentedExperts":
        return cls(**read_layers(config, "experts"))
