"""A vocabulary from texts, and the two layers from texts to ids."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from moe_keras.errors import is_count, require
from moe_keras.layers.preprocessing.text_cleaning import TextCleaning
from moe_keras.layers.preprocessing.texts import (
    encode_text,
    import_tensorflow,
)
from moe_keras.layers.preprocessing.word_ids import RESERVED, WordIds
from moe_keras.ops.rarity import usual_min_count

OWNER = "text_vectorizer"
_BATCH = 256


def text_vectorizer(
    texts: Any = None,
    vocabulary: Sequence[str] | None = None,
    max_tokens: int = 30_000,
    min_count: int | None = None,
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
        vocabulary: words, instead of `texts`, as `TextCleaning` leaves them:
            small letters, no accents. Of others a warning tells.
        max_tokens: int > 2, ids at most: padding, unknown words, vocabulary.
        min_count: int > 0 or None. Words of fewer texts are unknown words. None
            for 1 of fewer than 5,000 texts, else 2, see `moe_keras.ops.rarity`.
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
        min_count is None or is_count(min_count),
        OWNER,
        "`min_count` must be an integer above 0, or None.",
        min_count=min_count,
    )
    clean = TextCleaning(**cleaning)
    if vocabulary is None:
        counts, number = _count_texts(texts, clean, max_length)
        if min_count is None:
            min_count = usual_min_count(number)
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
    ids = WordIds(vocabulary, max_length)
    if texts is None:
        _warn_of_words_never_found(ids.vocabulary, clean)
    return clean, ids


def _warn_of_words_never_found(
    words: Sequence[str], clean: TextCleaning
) -> None:
    """Words that no cleaned text holds: capitals, marks, more than a word."""
    never = [
        (word.decode(errors="replace"), found.decode().split())
        for batch in _batches(map(encode_text, words))
        for word, found in zip(batch, clean(batch).numpy(), strict=True)
        if found.split() != [word]
    ]
    if never:
        word, found = never[0]
        warnings.warn(
            f"{OWNER}: {len(never)} of the {len(words)} words of `vocabulary` "
            "are never found, as texts are cleaned and split first: "
            f"{word!r} becomes {found}.",
            stacklevel=3,
        )


def _count_texts(
    texts: Any, clean: TextCleaning, max_length: int | None
) -> tuple[Counter[str], int]:
    """For each word, the number of texts that it is in; and of all texts."""
    counts: Counter[str] = Counter()
    number = 0
    for batch in _batches(_each(texts)):
        for text in clean(batch).numpy():
            words = text.decode().split(" ")[:max_length]
            counts.update(set(words))
            number += 1
    del counts[""]
    return counts, number


def _each(texts: Any) -> Iterator[bytes]:
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
            yield encode_text(text)


def _batches(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
