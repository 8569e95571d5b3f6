"""Banks that read a text as the set of its n-grams, of those they know."""

from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.input_checks import check_identifiers, check_mask
from moe_keras.ops.dispatch import map_groups
from moe_keras.ops.ngrams import (
    FREE,
    check_order,
    cut_span,
    distinct,
    find_keys,
    ngram_keys,
)


class NGramBank(ExpertBank):
    """Bank whose experts score the distinct known n-grams of a text.

    The experts share what is known, a weight `keys`; a text is looked up once,
    whatever the number of experts that read it. A subclass implements
    `build_tables`, `split_bank`, `score_places`, `row_output_shape` and
    `count_expert`.

    Args:
        num_experts: int > 0. E.
        max_ngrams: int > 1. P, the places of `keys`; place 0 is for unknown
            n-grams.
        max_order: int in 1..5. The longest n-grams.
        span: int other than 0, or None: see `cut_span`.
        **kwargs: `keras.layers.Layer` arguments.
    """

    def __init__(
        self,
        num_experts: int,
        max_ngrams: int,
        max_order: int,
        span: int | None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        owner = type(self).__name__
        require(
            is_count(max_ngrams) and max_ngrams > 1,
            owner,
            "`max_ngrams` must be an integer above 1.",
            max_ngrams=max_ngrams,
        )
        check_order(owner, max_order)
        require(
            span is None
            or is_count(span)
            or (isinstance(span, int) and is_count(-span)),
            owner,
            "`span` must be None or an integer other than 0.",
            span=span,
        )
        self.max_ngrams = max_ngrams
        self.max_order = max_order
        self.span = span
        self.supports_masking = True

    def build_tables(self) -> None:
        """Make every weight but `keys`."""
        raise NotImplementedError

    def score_places(self, expert: Any, places: Any) -> Any:
        """One item of `split_bank` on `read_places`, `(N, Q) -> (N, U)`."""
        raise NotImplementedError

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 1,
            type(self).__name__,
            "`inputs` must be texts (B, T), and `gates`, if any, (B, E): a "
            "gate over whole texts has level='sample'.",
            row_shape=row_shape,
        )
        # Of TensorFlow, XLA compares each n-gram with every key.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.keys = self.add_weight(
            (self.max_ngrams,),
            _no_keys,
            dtype="int32",
            trainable=False,
            autocast=False,
            name="keys",
        )
        self.build_tables()

    def shared_weights(self) -> list[Any]:
        return [self.keys]

    def read_keys(self, rows: Any, mask: Any = None) -> Any:
        """The distinct n-grams of texts, known or not.

        Args:
            rows: int `(N, T)`, identifiers of words; 0 for padding.
            mask: bool `(N, T)` or None; False for what is padding too.

        Returns:
            int32 `(N, Q)`, keys; 0 for none, the others distinct.
        """
        owner = type(self).__name__
        check_identifiers(owner, rows)
        check_mask(owner, mask, rows.shape)
        if mask is not None:
            real = ops.cast(mask, "bool")
            rows = ops.where(real, rows, ops.zeros_like(rows))
        return distinct(ngram_keys(cut_span(rows, self.span), self.max_order))

    def read_places(self, rows: Any, mask: Any = None) -> Any:
        """The places of the distinct known n-grams of texts.

        Args:
            rows: int `(N, T)`, as in `read_keys`.
            mask: bool `(N, T)` or None.

        Returns:
            int32 `(N, Q)` in 0..P-1; 0 for none, the others distinct.
        """
        keys = self.read_keys(rows, mask)
        return find_keys(ops.convert_to_tensor(self.keys), keys)

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

    def know(self, keys: np.ndarray) -> None:
        """Know these n-grams, and no others.

        Args:
            keys: int `(F,)`, ascending, with F below P; the n-gram of key f
                has place 1 + f.
        """
        known = np.full(self.max_ngrams, FREE, "int32")
        known[0] = 0
        known[1 : 1 + len(keys)] = keys
        self.keys.assign(known)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_ngrams": self.max_ngrams,
            "max_order": self.max_order,
            "span": self.span,
        }


def _no_keys(shape: tuple[int, ...], dtype: Any = None) -> Any:
    """The table of keys before any is known."""
    places = ops.arange(shape[0], dtype="int32")
    return ops.cast(ops.where(places == 0, 0, FREE), dtype)
