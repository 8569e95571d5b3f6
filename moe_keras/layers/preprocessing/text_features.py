"""A few numbers that tell texts apart: length, words, n-grams."""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.input_checks import check_identifiers, check_mask
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.ngrams import (
    check_ngrams,
    distinct,
    ngram_buckets,
    ngram_count,
    take_rows,
)

# Of the identifiers of words, as `keras.layers.TextVectorization` numbers them.
UNKNOWN = 1
STATISTICS = 3


@register
class TextFeatures(keras.layers.Layer):
    """Cheap features of texts, for a router.

    Of a text of n words, three statistics, all of them about 0 to 1, and behind
    them the mean of learned vectors, one for each n-gram of orders 1 to
    `max_order` that occurs, as often as it occurs:

    - a tenth of log2(1 + n): 0 without a word, 1 with 1,023 of them;
    - the share of words that are unknown, of the identifier 1;
    - distinct identifiers over n, the type-token ratio.

    A text without a word has zeros.

    Args:
        buckets: int in 2..2^24. Numbers that the n-grams are hashed to; those
            that share one share its vector. Defaults to `8192`.
        embedding_dim: int >= 0. Width of the vectors, drawn with an SD of 1, so
            that the mean over a hundred n-grams has one of 0.1; 0 for the
            statistics alone. Defaults to `16`.
        max_order: int in 1..5. The longest n-grams. Defaults to `2`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: int `(B, T)`, identifiers of words; 0 for padding, which is at
            the end, and 1 for unknown words.
        mask: bool `(B, T)` or None; words that are False are read as padding.

    Returns:
        float `(B, 3 + embedding_dim)`, computed in at least float32; the same
        whatever the padding.

    Source: Joulin et al. (2017), Bag of tricks, arXiv:1607.01759, sections 2.1
        and 2.3 (the mean of hashed n-gram vectors).

    Example:
    >>> TextFeatures()(np.ones((4, 32), "int32")).shape
    TensorShape([4, 19])
    """

    def __init__(
        self,
        buckets: int = 8192,
        embedding_dim: int = 16,
        max_order: int = 2,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_ngrams("TextFeatures", buckets, max_order)
        require(
            embedding_dim == 0 or is_count(embedding_dim),
            "TextFeatures",
            "`embedding_dim` must be an integer, 0 or above.",
            embedding_dim=embedding_dim,
        )
        self.buckets = buckets
        self.embedding_dim = embedding_dim
        self.max_order = max_order
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) == 2,
            "TextFeatures",
            "`inputs` must be (B, T).",
            input_shape=tuple(input_shape),
        )
        self.embeddings = None
        if self.embedding_dim:
            self.embeddings = self.add_weight(
                (self.buckets, self.embedding_dim),
                keras.initializers.RandomNormal(stddev=1.0),
                autocast=False,
                name="embeddings",
            )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        check_identifiers("TextFeatures", inputs)
        check_mask("TextFeatures", mask, inputs.shape)
        if mask is not None:
            real = ops.cast(mask, "bool")
            inputs = ops.where(real, inputs, ops.zeros_like(inputs))
        dtype = keras.backend.result_type(self.variable_dtype, "float32")
        words = _count(inputs != 0, dtype)
        most = ops.maximum(words, 1.0)
        features = [
            ops.log1p(words) / (10 * math.log(2)),
            _count(inputs == UNKNOWN, dtype) / most,
            _count(distinct(inputs) != 0, dtype) / most,
        ]
        if self.embeddings is not None:
            places = ngram_buckets(inputs, self.max_order, self.buckets)
            vectors = ops.sum(take_rows(self.embeddings, places), axis=1)
            found = ops.maximum(_count(places != 0, dtype), 1.0)
            features.append(vectors / found)
        return ops.cast(ops.concatenate(features, axis=1), self.compute_dtype)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example: the mean over the n-grams' vectors."""
        length = size_of(shapes[0][1:])
        count = ngram_count(length, self.max_order) * self.embedding_dim
        return Cost(count, count)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], STATISTICS + self.embedding_dim)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: there are no positions any more."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "buckets": self.buckets,
            "embedding_dim": self.embedding_dim,
            "max_order": self.max_order,
        }


def _count(flags: Any, dtype: str) -> Any:
    """How many of each row's flags are set, `(N, P) -> (N, 1)`."""
    return ops.sum(ops.cast(flags, dtype), axis=1, keepdims=True)
