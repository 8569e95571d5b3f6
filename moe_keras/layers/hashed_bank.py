"""Banks that read a text as the set of its hashed n-grams."""

from typing import Any

from keras import ops

from moe_keras.errors import require
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.input_checks import check_identifiers, check_mask
from moe_keras.ops.dispatch import map_groups
from moe_keras.ops.ngrams import check_ngrams, distinct, ngram_buckets


class HashedBank(ExpertBank):
    """Bank whose experts score the buckets of a text's distinct n-grams.

    A text is hashed once, whatever the number of experts that read it. A
    subclass implements `build_tables`, `split_bank`, `score_places`,
    `row_output_shape` and `count_expert`.

    Args:
        num_experts: int > 0. E.
        buckets: int in 2..2^24.
        max_order: int in 1..5. The longest n-grams.
        **kwargs: `keras.layers.Layer` arguments.
    """

    def __init__(
        self, num_experts: int, buckets: int, max_order: int, **kwargs: Any
    ):
        super().__init__(num_experts, **kwargs)
        check_ngrams(type(self).__name__, buckets, max_order)
        self.buckets = buckets
        self.max_order = max_order
        self.supports_masking = True

    def build_tables(self) -> None:
        """Make every weight."""
        raise NotImplementedError

    def score_places(self, expert: Any, places: Any) -> Any:
        """One item of `split_bank` on `read_places`, `(N, P) -> (N, U)`."""
        raise NotImplementedError

    def read_places(self, rows: Any, mask: Any = None) -> Any:
        """The buckets of the distinct n-grams of texts.

        Args:
            rows: int `(N, T)`, identifiers of words; 0 for padding.
            mask: bool `(N, T)` or None; False for what is padding too.

        Returns:
            int32 `(N, P)` in 0..buckets-1; 0 for none, the others distinct.
        """
        owner = type(self).__name__
        check_identifiers(owner, rows)
        check_mask(owner, mask, rows.shape)
        if mask is not None:
            real = ops.cast(mask, "bool")
            rows = ops.where(real, rows, ops.zeros_like(rows))
        return distinct(ngram_buckets(rows, self.max_order, self.buckets))

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 1,
            type(self).__name__,
            "`inputs` must be texts (B, T), and `gates`, if any, (B, E): a "
            "gate over whole texts has level='sample'.",
            row_shape=row_shape,
        )
        self.build_tables()

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        return self.score_places(expert, self.read_places(rows, mask))

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        places = self.read_places(rows, mask)
        outputs = [
            self.score_places(expert, places) for expert in self.split_bank()
        ]
        return ops.stack(outputs, axis=1)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        places = self.read_places(rows, mask)
        return map_groups(
            self.score_places, self.split_bank(), (places,), group_sizes
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "buckets": self.buckets,
            "max_order": self.max_order,
        }
