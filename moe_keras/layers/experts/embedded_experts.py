"""Experts that read words: an embedding of the ids, and banks behind it."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require, require_counts, require_rates
from moe_keras.layers.initializers import FullPrecision
from moe_keras.layers.input_checks import check_integers
from moe_keras.layers.registration import register
from moe_keras.layers.wrapped_banks import WrappedBanks

OWNER = "EmbeddedExperts"
PADDING, UNKNOWN = 0, 1
# Narrower integers cannot hold the size of every vocabulary.
WIDE = ("int32", "int64", "uint32", "uint64")


@register
class EmbeddedExperts(WrappedBanks):
    """Banks over sequences, behind one table of word vectors, as one bank.

    Ids of words are looked up in a table that the experts share; the inner
    banks read the vectors. Their expert axes are joined in the order of the
    list. Where experts are chosen, only their rows are embedded and run.

    An id of 0 is padding. Ids below 0 and from `vocabulary_size` on are read as
    1, which stands for an unknown word, so that no input stops a served model.

    Args:
        experts: `ExpertBank` or a list of them, whose experts read sequences
            `(N, T, embedding_dim)`, such as `SequenceConvExpert`,
            `RecurrentExpert` and `AttentionExpert`.
        vocabulary_size: int > 1. Rows of the table, those of padding and of the
            unknown word included.
        embedding_dim: int > 0. Width of a word's vector.
        max_length: int > 0 or None. Positions that are read; what is behind
            them is cut off. Defaults to `None`.
        embeddings_initializer: for the table. Trained vectors come in by
            `keras.initializers.Constant(table)`, or later by
            `embedding.set_weights([table])`. Defaults to `"uniform"`.
        dropout: float in [0, 1), on the vectors, in training. Defaults to
            `0.0`.
        **kwargs: `keras.layers.Layer` arguments.

    Attributes:
        embedding: `keras.layers.Embedding`, the table.

    Call arguments:
        inputs: int `(B, T)`.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are rows sorted by
            expert, and the result has no expert axis.
        mask: bool `(B, T)` or None; positions that are False are padding, as
            are those whose id is 0.

    Returns:
        float `(B, E, *R)`, R the shape of one inner expert's output; zeros
        where the gate is 0.

    Example:
    >>> inner = SequenceConvExpert(64, num_experts=4, output_units=2)
    >>> bank = EmbeddedExperts(inner, 20000, 100, max_length=400)
    >>> bank(np.ones((8, 50), "int32")).shape
    TensorShape([8, 4, 2])
    """

    row_rank = 1

    def __init__(
        self,
        experts: Any,
        vocabulary_size: int,
        embedding_dim: int,
        max_length: int | None = None,
        embeddings_initializer: Any = "uniform",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(
            experts, "SequenceConvExpert(32, num_experts=4)", **kwargs
        )
        require(
            all(bank.reads_samples for bank in self.experts),
            OWNER,
            "`experts` must be banks that read whole sequences.",
            experts=[bank.name for bank in self.experts],
        )
        require(
            is_count(vocabulary_size) and vocabulary_size > UNKNOWN,
            OWNER,
            "`vocabulary_size` must be an integer above 1: padding and the "
            "unknown word have an id each.",
            vocabulary_size=vocabulary_size,
        )
        require_counts(OWNER, embedding_dim=embedding_dim)
        require(
            max_length is None or is_count(max_length),
            OWNER,
            "`max_length` must be an integer above 0, or None.",
            max_length=max_length,
        )
        require_rates(OWNER, dropout=dropout)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.max_length = max_length
        self.dropout = dropout
        policy = {"dtype": self.dtype_policy}
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer
        )
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_dim,
            FullPrecision(self.embeddings_initializer),
            name="embedding",
            **policy,
        )
        self._dropout_layer = keras.layers.Dropout(
            dropout, name="dropout", **policy
        )
        self.supports_masking = True

    def build_shared(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 1,
            OWNER,
            "`inputs` must be ids (B, T), and `gates`, if any, (B, E).",
            row_shape=row_shape,
        )
        self.embedding.build((None, *row_shape))

    def prepare(
        self, rows: Any, mask: Any, training: bool | None
    ) -> tuple[Any, Any]:
        """Vectors and mask of ids, `(..., T) -> (..., T', D), (..., T')`."""
        ids = rows
        dtype = check_integers(OWNER, ids)
        if dtype not in WIDE:
            ids = ops.cast(ids, "int32")
        ids = ids[..., : self.max_length]
        known = ops.logical_and(ids >= 0, ids < self.vocabulary_size)
        # Before the cast, which would make small ids of large ones.
        ids = ops.cast(ops.where(known, ids, UNKNOWN), "int32")
        real = ids != PADDING
        if mask is not None:
            mask = ops.cast(mask, "bool")[..., : self.max_length]
            real = ops.logical_and(real, mask)
        vectors = self.embedding(ids)
        return self._dropout_layer(vectors, training=training), real

    def prepared_shape(self, shape: Any) -> tuple[int | None, ...]:
        *leading, length = shape
        if None not in (length, self.max_length):
            length = min(length, self.max_length)
        return (*leading, length, self.embedding_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "max_length": self.max_length,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "dropout": self.dropout,
        }
