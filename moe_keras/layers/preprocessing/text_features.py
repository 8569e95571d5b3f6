"""A few numbers that tell texts apart: length, words, n-grams."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_identifiers,
    check_mask,
)
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.naive_bayes import PresenceCounts, batches_of, log_ratios
from moe_keras.ops.ngrams import (
    check_ngrams,
    distinct,
    ngram_buckets,
    ngram_count,
    take_rows,
)

OWNER = "TextFeatures"
# Of the identifiers of words, as `keras.layers.TextVectorization` numbers them.
UNKNOWN = 1
STATISTICS = 3
# Texts of each class that an n-gram is in before the first is counted.
ALPHA = 1.0


@register
class TextFeatures(ReadsOneTensor, keras.layers.Layer):
    """Cheap features of texts, for a router.

    Of a text of n words, three statistics, all of them about 0 to 1:

    - a tenth of log2(1 + n): 0 without a word, 1 with 1,023 of them;
    - the share of words that are unknown, of the identifier 1;
    - distinct identifiers over n, the type-token ratio.

    Behind them, with `num_classes`, how sure the words are. Of the log-count
    ratios of naive Bayes of each class the mean is taken over the n-grams of
    orders 1 to `max_order` that occur, as often as they occur; the feature is
    the largest mean less the second, and for two classes the size of the one
    mean. `adapt` counts the ratios; it is 0 before. By it, experts can be
    chosen that are needed only where the words of a text are at odds.

    Last, the mean of learned vectors, one for each of these n-grams.

    A text without a word has zeros.

    Args:
        buckets: int in 2..2^24. Numbers that the n-grams are hashed to; those
            that share one share its vector. Defaults to `8192`.
        embedding_dim: int >= 0. Width of the vectors, drawn with an SD of 1, so
            that the mean over a hundred n-grams has one of 0.1; 0 for the
            statistics alone. Defaults to `16`.
        max_order: int in 1..5. The longest n-grams. Defaults to `2`.
        num_classes: int > 1 or None. C, classes that the words may be sure of;
            None for no such feature. Defaults to `None`.
        ratio_buckets: int in 2..2^24. Numbers that n-grams are hashed to for
            their ratios. Defaults to `32768`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: int `(B, T)`, identifiers of words; 0 for padding, which is at
            the end, and 1 for unknown words.
        mask: bool `(B, T)` or None; words that are False are read as padding.

    Returns:
        float `(B, 3 + embedding_dim)`, or one more with `num_classes`, computed
        in at least float32; the same whatever the padding.

    Source: Joulin et al. (2017), Bag of tricks, arXiv:1607.01759, sections 2.1
        and 2.3 (the mean of hashed n-gram vectors); Wang & Manning (2012),
        P12-2018, section 2.2 (the ratios).

    Example:
    >>> TextFeatures()(np.ones((4, 32), "int32")).shape
    TensorShape([4, 19])
    """

    def __init__(
        self,
        buckets: int = 8192,
        embedding_dim: int = 16,
        max_order: int = 2,
        num_classes: int | None = None,
        ratio_buckets: int = 32_768,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_ngrams(OWNER, buckets, max_order)
        check_ngrams(OWNER, ratio_buckets, max_order)
        require(
            embedding_dim == 0 or is_count(embedding_dim),
            OWNER,
            "`embedding_dim` must be an integer, 0 or above.",
            embedding_dim=embedding_dim,
        )
        require(
            num_classes is None or (is_count(num_classes) and num_classes > 1),
            OWNER,
            "`num_classes` must be an integer above 1, or None.",
            num_classes=num_classes,
        )
        self.buckets = buckets
        self.embedding_dim = embedding_dim
        self.max_order = max_order
        self.num_classes = num_classes
        self.ratio_buckets = ratio_buckets
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) == 2,
            OWNER,
            "`inputs` must be (B, T).",
            input_shape=tuple(input_shape),
        )
        self.ratios: Any = None
        self.embeddings = None
        if self.num_classes is not None:
            self.ratios = self.add_weight(
                (self.ratio_buckets, self._columns()),
                "zeros",
                trainable=False,
                autocast=False,
                name="ratios",
            )
        if self.embedding_dim:
            self.embeddings = self.add_weight(
                (self.buckets, self.embedding_dim),
                keras.initializers.RandomNormal(stddev=1.0),
                autocast=False,
                name="embeddings",
            )

    def adapt(self, ids: Any, labels: Any = None) -> None:
        """Count the ratios of n-grams, each once in a text.

        They are divided by one number, so that over these texts the root mean
        square of what the words are sure is 1.

        Args:
            ids: int array `(N, T)`; or, without labels, an iterable of batches
                that can be read twice: pairs of `(n, T)` and labels `(n,)`.
            labels: int `(N,)` in 0..C-1.

        Raises:
            ValueError: without `num_classes`, labels or texts, and for a layer
                that is not built.
        """
        classes = self.num_classes
        require(
            self.built and classes is not None,
            OWNER,
            "`adapt` needs a layer that is built, with `num_classes`.",
            built=self.built,
            num_classes=classes,
        )
        counts = PresenceCounts(classes or 0)
        for texts, own in batches_of(ids, labels):
            places = ngram_buckets(
                ops.convert_to_tensor(texts), self.max_order, self.ratio_buckets
            )
            counts.add(ops.convert_to_numpy(distinct(places)), own)
        known, found = counts.frequent(1, self.ratio_buckets)
        ratios = np.zeros(self.ratios.shape, "float32")
        ratios[known] = log_ratios(found, ALPHA).reshape(len(known), -1)
        self.ratios.assign(ratios)
        squares = [
            ops.convert_to_numpy(self._sureness(ops.convert_to_tensor(texts)))
            for texts, _ in batches_of(ids, labels)
        ]
        size = np.sqrt(np.mean(np.square(np.concatenate(squares))))
        self.ratios.assign(ratios / max(size, 1e-6))

    def _sureness(self, inputs: Any) -> Any:
        """How much surer the words are of one class than of all others."""
        places = ngram_buckets(inputs, self.max_order, self.ratio_buckets)
        total = ops.sum(take_rows(self.ratios, places), axis=1)
        found = _count(places != 0, total.dtype)
        means = total / ops.maximum(found, 1.0)
        if self._columns() == 1:
            return ops.abs(means)
        best = ops.top_k(means, 2)[0]
        return best[:, :1] - best[:, 1:]

    def _columns(self) -> int:
        """Ratios of an n-gram; of two classes one is less the other."""
        if self.num_classes is None:
            return 0
        return 1 if self.num_classes == 2 else self.num_classes

    def call(self, inputs: Any, mask: Any = None) -> Any:
        check_identifiers(OWNER, inputs)
        check_mask(OWNER, mask, inputs.shape)
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
        if self.ratios is not None:
            features.append(ops.cast(self._sureness(inputs), dtype))
        if self.embeddings is not None:
            places = ngram_buckets(inputs, self.max_order, self.buckets)
            vectors = ops.sum(take_rows(self.embeddings, places), axis=1)
            found = ops.maximum(_count(places != 0, dtype), 1.0)
            features.append(vectors / found)
        return ops.cast(ops.concatenate(features, axis=1), self.compute_dtype)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example: the means over the n-grams' rows."""
        length = size_of(shapes[0][1:])
        columns = self.embedding_dim + self._columns()
        count = ngram_count(length, self.max_order) * columns
        return Cost(count, count)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        sureness = int(self.num_classes is not None)
        return (input_shape[0], STATISTICS + sureness + self.embedding_dim)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: there are no positions any more."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "buckets": self.buckets,
            "embedding_dim": self.embedding_dim,
            "max_order": self.max_order,
            "num_classes": self.num_classes,
            "ratio_buckets": self.ratio_buckets,
        }


def _count(flags: Any, dtype: str) -> Any:
    """How many of each row's flags are set, `(N, P) -> (N, 1)`."""
    return ops.sum(ops.cast(flags, dtype), axis=1, keepdims=True)
