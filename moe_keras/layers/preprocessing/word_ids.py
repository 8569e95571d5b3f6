"""Words with one space between them -> their places in a vocabulary."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers.preprocessing.texts import (
    check_text_symbol,
    import_tensorflow,
)
from moe_keras.layers.registration import register

OWNER = "WordIds"
# Before the vocabulary: padding, and every word that is not in it.
PADDING, UNKNOWN = 0, 1
RESERVED = 2


@register
class WordIds(keras.layers.TextVectorization):
    """Keras' `TextVectorization` for cleaned texts, never without a column.

    Unlike Keras' layer, which either pads every batch to one length or does not
    cut at all, it pads to the longest text of the batch and cuts at
    `max_length`; and a batch of empty texts has one column of padding, where
    Keras' has none, of which no network can take a mean. Its vocabulary is in
    its configuration, as presets want it.

    Args:
        vocabulary: words, all different, none empty; the first gets id 2.
        max_length: int > 0 or None. Words beyond are left out. Defaults to
            `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: strings `(B,)` or `(B, 1)`, words with spaces between them.

    Returns:
        int64 `(B, T)`, T >= 1: 0 for padding, at the end only, 1 for words that
        are not in the vocabulary. Masks are made where ids are read.

    Example:
    >>> WordIds(["good", "film"])(["good film", "bad"])
    <tf.Tensor: shape=(2, 2), dtype=int64, numpy=array([[2, 3], [1, 0]])>
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int | None = None,
        **kwargs: Any,
    ):
        import_tensorflow(OWNER)
        require(
            not isinstance(vocabulary, str | bytes)
            and len(vocabulary) > 0
            and all(isinstance(word, str) and word for word in vocabulary),
            OWNER,
            "`vocabulary` must hold words.",
            vocabulary=vocabulary[:5],
        )
        require(
            len(set(vocabulary)) == len(vocabulary),
            OWNER,
            "`vocabulary` must hold each word once.",
            words=len(vocabulary),
            different=len(set(vocabulary)),
        )
        require(
            max_length is None or is_count(max_length),
            OWNER,
            "`max_length` must be an integer above 0, or None.",
            max_length=max_length,
        )
        super().__init__(
            standardize=None,
            split="whitespace",
            vocabulary=list(vocabulary),
            **kwargs,
        )
        self.vocabulary = tuple(vocabulary)
        self.max_length = max_length

    @property
    def declared_length(self) -> int | None:
        """The most words of a text, which costs are counted for."""
        return self.max_length

    def call(self, inputs: Any) -> Any:
        tf = import_tensorflow(OWNER)
        ids = super().call(inputs)[:, : self.max_length]
        if tf.is_tensor(ids):
            missing = tf.maximum(0, 1 - tf.shape(ids)[1])
            return tf.pad(ids, [[0, 0], [0, missing]])
        # Another backend's, outside of tf.data.
        return keras.ops.pad(ids, [[0, 0], [0, max(0, 1 - ids.shape[1])]])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        check_text_symbol(OWNER, inputs)
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **keras.layers.Layer.get_config(self),
            "vocabulary": list(self.vocabulary),
            "max_length": self.max_length,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WordIds":
        return cls(**config)
