"""A vocabulary from texts, and the two layers from texts to ids."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from moe_keras.errors import is_count, require
from moe_keras.layers.preprocessing.text_cleaning import TextCleaning
from moe_keras.layers.preprocessing.texts import import_tensorflow
from moe_keras.layers.preprocessing.word_ids import RESERVED, WordIds

OWNER = "text_vectorizer"
_BATCH = 256


def text_vectorizer(
    texts: Any = None,
    vocabulary: Sequence[str] | None = None,
    max_tokens: int = 30_000,
    min_count: int = 2,
    max_length: int | None = 1_000,
    **cleaning: Any,
) -> tuple[TextCleaning, WordIds]:
    """The layers that make ids `(B, T)` of texts `(B,)`, one behind the other.

    A word's rank is the number of texts that it is in; of equal ones the first
    in the order of code points comes first. So the same texts give the same
    ids, in whatever order they come.

    Args:
        texts: to learn the vocabulary from: an iterable of `str` or UTF-8
            `bytes`, an array of them, or a `tf.data.Dataset` of texts or of
            batches of texts, without labels. Read once.
        vocabulary: words, instead of `texts`.
        max_tokens: int > 2, ids at most: padding, unknown words, vocabulary.
        min_count: int > 0. Words of fewer texts are unknown words.
        max_length: int > 0 or None. Words of a text that are read.
        **cleaning: arguments of `TextCleaning`.

    Returns:
        `TextCleaning` and `WordIds`, which has the vocabulary in its
        configuration, so that a preset can hold it.

    Raises:
        ImportError: where TensorFlow is not installed.
        ValueError: for texts that are none, or have no word that counts.

    Example:
    >>> clean, ids = text_vectorizer(["Good film!", "good"], min_count=1)
    >>> ids(clean(["A GOOD film"]))
    <tf.Tensor: shape=(1, 3), dtype=int64, numpy=array([[1, 2, 4]])>
    """
    require(
        (texts is None) != (vocabulary is None),
        OWNER,
        "either `texts` or `vocabulary` must be given.",
        texts=type(texts).__name__,
        vocabulary=type(vocabulary).__name__,
    )
    require(
        is_count(max_tokens) and max_tokens > RESERVED,
        OWNER,
        f"`max_tokens` must be an integer above {RESERVED}.",
        max_tokens=max_tokens,
    )
    require(
        is_count(min_count),
        OWNER,
        "`min_count` must be an integer above 0.",
        min_count=min_count,
    )
    clean = TextCleaning(**cleaning)
    if vocabulary is None:
        counts = _count_texts(texts, clean, max_length)
        ranked = sorted(
            (-count, word)
            for word, count in counts.items()
            if count >= min_count
        )
        vocabulary = [word for _, word in ranked[: max_tokens - RESERVED]]
        require(
            vocabulary,
            OWNER,
            f"no word is in {min_count} of the texts or more.",
            different_words=len(counts),
        )
    require(
        len(vocabulary) <= max_tokens - RESERVED,
        OWNER,
        f"`vocabulary` must have {max_tokens - RESERVED} words or fewer, by "
        "`max_tokens`.",
        words=len(vocabulary),
    )
    return clean, WordIds(vocabulary, max_length)


def _count_texts(
    texts: Any, clean: TextCleaning, max_length: int | None
) -> Counter[str]:
    """For each word, the number of texts that it is in."""
    counts: Counter[str] = Counter()
    for batch in _batches(_each(texts)):
        for text in clean(batch).numpy():
            words = text.decode().split(" ")[:max_length]
            counts.update(set(words))
    del counts[""]
    return counts


def _each(texts: Any) -> Iterator[str | bytes]:
    tf = import_tensorflow(OWNER)
    one = isinstance(texts, str | bytes)
    require(
        isinstance(texts, Iterable) and not one,
        OWNER,
        "`texts` must be an iterable of texts.",
        texts=texts,
    )
    for part in texts:
        found = part.numpy() if isinstance(part, tf.Tensor) else part
        # An array of one batch; what is no array has no `ravel`.
        for text in found.ravel() if hasattr(found, "ravel") else [found]:
            require(
                isinstance(text, str | bytes),
                OWNER,
                "`texts` must hold str, bytes or tensors of texts.",
                found=type(text).__name__,
            )
            yield text


def _batches(texts: Iterable[str | bytes]) -> Iterator[list[str | bytes]]:
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
