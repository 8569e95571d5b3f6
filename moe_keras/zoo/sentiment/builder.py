"""The builder of sentiment models: words, experts, gate, calibration."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from moe_keras.errors import (
    is_count,
    require,
    require_counts,
    require_rates,
)
from moe_keras.layers import (
    EmbeddedExperts,
    ExpertBank,
    FeatureGating,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    TemperatureScaling,
    TextCleaning,
    TextFeatures,
    UniformGating,
    WordIds,
    text_vectorizer,
)
from moe_keras.layers.preprocessing.texts import encode_text
from moe_keras.ops.word_vectors import cooccurrence_vectors
from moe_keras.zoo.kinds import Experts, check_gate, check_kinds
from moe_keras.zoo.sentiment.experts import (
    DEFAULT_EXPERTS,
    GIVEN,
    KINDS,
    OWNER,
    Ids,
    make_banks,
)

# Texts that are turned into ids at once, for the n-gram experts.
BATCH_SIZE = 512
WORD_VECTORS = ("random", "cooccurrence")


def build_sentiment_moe(
    texts: Any = None,
    labels: Any = None,
    num_classes: int = 2,
    vocabulary: Sequence[str] | None = None,
    experts: Experts = DEFAULT_EXPERTS,
    top_k: int | None = None,
    gate: keras.layers.Layer | str | None = None,
    fusion: str = "logarithmic",
    max_tokens: int = 30_000,
    min_count: int | None = None,
    max_length: int = 1_000,
    embedding_dim: int = 64,
    embedded_tokens: int = 20_000,
    word_vectors: str = "random",
    read_length: int = 400,
    dropout: float = 0.3,
    embedding_dropout: float = 0.0,
    gate_dim: int = 16,
    gate_ratios: bool = False,
    balance_loss: float = 1e-2,
    importance_loss: float = 0.0,
    dispatch: str = "auto",
    name: str = "sentiment_moe",
) -> keras.Model:
    """A classifier of texts whose experts differ in kind.

    Strings are cleaned and become ids of words inside the model (`TextCleaning`
    and `WordIds`), so a SavedModel takes strings. Every expert reads the ids
    and gives logits of the classes:

    - `"ngram"`: a linear classifier of the words, pairs and triples of words in
      a text that begins as naive Bayes (`NGramExpert`, which has the
      arguments). It learns which n-grams there are from `texts`, here.
    - `"conv"`: convolutions over word vectors (`SequenceConvExpert`).
    - `"recurrent"`: a GRU that reads forwards and backwards
      (`RecurrentExpert`).
    - `"attention"`: a small Transformer (`AttentionExpert`).

    All but the first share one table of word vectors (`EmbeddedExperts`). The
    gate sees cheap features of a text (`TextFeatures`), so that a sparse
    `top_k` saves what it does not choose. Last comes a temperature, 1 until
    `moe_keras.training.fit_temperature` sets it.

    Args:
        texts: an array or list of training texts, for the vocabulary and the
            n-grams. Needed unless there is a `vocabulary` and no n-gram expert.
        labels: int `(N,)`, the classes of `texts`; for n-gram experts that
            weight by log-count ratios, as they do by default.
        num_classes: int > 1. C.
        vocabulary: words, instead of those of `texts`.
        experts: by kind, their number, or a list with the arguments of each:
            `{"ngram": [{}, {"span": -100}], "conv": 1}`. An n-gram expert also
            takes those of `NGramExpert.adapt`, such as `min_texts`.
        top_k: int in 1..E or None: experts that see a text; None for all.
        gate: a gate over ids `(B, T)`, such as `FeatureGating`; `"uniform"` for
            fixed equal weights; None for a `GatingLayer` over `TextFeatures`.
            Only with None do `top_k` and the coefficients below count.
        fusion: `"logarithmic"` or `"linear"`: whether the experts' logits or
            their probabilities are averaged; see `LogitFusion`.
        max_tokens: int > 2. Ids of words at most.
        min_count: int > 0 or None. Words of fewer texts are unknown words. None
            for a number that depends on how many texts there are, see
            `text_vectorizer`.
        max_length: int > 0. Words of a text that are read.
        embedding_dim: int > 0. Width of the word vectors.
        embedded_tokens: int > 1. Ids with a vector of their own, those of the
            words that are in the most texts.
        word_vectors: `"random"`, or `"cooccurrence"` for vectors to begin with
            that tell which words stand near which in `texts`, see
            `moe_keras.ops.word_vectors`.
        read_length: int > 0. Words that the readers of vectors read.
        dropout: float in [0, 1), of the readers of vectors.
        embedding_dropout: float in [0, 1), of the vectors themselves.
        gate_dim: int >= 0. Width of the vectors of n-grams that the gate reads
            beside a text's length and variety; 0 for these alone.
        gate_ratios: bool. Whether the gate reads how sure the words are, by
            naive Bayes over `texts` and `labels`; see `TextFeatures`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss; for a
            sparse gate.
        importance_loss: float >= 0. Coefficient of the importance loss.
        dispatch: see `MixtureOfExperts`.
        name: of the model.

    Returns:
        `keras.Model`, not compiled: strings `(B,)` -> `(B, num_classes)`
        probabilities in float32. It needs TensorFlow's backend.

    Raises:
        ImportError: where TensorFlow is not installed.
        ValueError: for arguments out of range, experts of unknown kinds,
            `top_k` with a `gate`, and `top_k=1` with `fusion="linear"`, which
            leaves the gate without a gradient.

    Source: Jacobs et al. (1991), Neural Computation 3(1), for the mixture; Wang
        & Manning (2012), ACL, P12-2018, for the n-grams.

    Example:
    >>> model = build_sentiment_moe(texts, labels)
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> model.fit(np.array(texts, dtype=object), labels)
    """
    _check(texts, num_classes, vocabulary, experts, top_k, gate)
    require_counts(OWNER, max_length=max_length, read_length=read_length)
    require(
        is_count(embedded_tokens) and embedded_tokens > 1,
        OWNER,
        "`embedded_tokens` must be an integer above 1: padding and the unknown "
        "word have an id each.",
        embedded_tokens=embedded_tokens,
    )
    require(
        word_vectors in WORD_VECTORS
        and (word_vectors == "random" or texts is not None),
        OWNER,
        f"`word_vectors` must be in {WORD_VECTORS}, and those of cooccurrence "
        "need `texts`.",
        word_vectors=word_vectors,
    )
    require_rates(OWNER, dropout=dropout)
    clean, words = text_vectorizer(
        texts if vocabulary is None else None,
        vocabulary,
        max_tokens=max_tokens,
        min_count=min_count,
        max_length=max_length,
    )

    def embed(banks: list[ExpertBank]) -> EmbeddedExperts:
        return EmbeddedExperts(
            banks,
            min(embedded_tokens, words.vocabulary_size()),
            embedding_dim,
            max_length=min(read_length, max_length),
            dropout=embedding_dropout,
            name="readers",
        )

    asked = "ngram" in experts or word_vectors == "cooccurrence" or gate_ratios
    ids = _ids_of(texts, labels, clean, words) if asked else None
    banks = make_banks(experts, num_classes, dropout, embed, ids)
    count = sum(bank.num_experts for bank in banks)
    require(
        not gate_ratios or (gate is None and labels is not None),
        OWNER,
        "`gate_ratios` needs `texts` and `labels`, and no `gate`.",
        gate=gate,
        labels=labels,
    )
    if gate == "uniform":
        gate = UniformGating(count, level="sample", name="gating")
    if gate is None:
        router = GatingLayer(
            count,
            top_k=top_k,
            level="sample",
            balance_loss=balance_loss,
            importance_loss=importance_loss,
            bias_initializer="zeros",
            name="router",
        )
        features = TextFeatures(
            embedding_dim=gate_dim,
            num_classes=num_classes if gate_ratios else None,
            dtype="float32",
            name="text_features",
        )
        if gate_ratios:
            features.build((None, None))
            features.adapt(ids)
        gate = FeatureGating(features, router, name="gating")
    inputs = keras.Input((), dtype="string", name="texts")
    x = words(clean(inputs))
    x = MixtureOfExperts(
        banks,
        gate,
        LogitFusion(fusion, name="fusion"),
        dispatch=dispatch,
        name="moe",
    )(x)
    x = TemperatureScaling(name="temperature")(x)
    outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    model = keras.Model(inputs, outputs, name=name)
    if word_vectors == "cooccurrence":
        _begin_with_cooccurrence(banks, ids)
    return model


def _begin_with_cooccurrence(banks: list[ExpertBank], ids: Ids | None) -> None:
    """Set the table of word vectors, if there is one."""
    for bank in banks:
        if isinstance(bank, EmbeddedExperts):
            table = cooccurrence_vectors(
                ids or [], bank.vocabulary_size, bank.embedding_dim
            )
            bank.embedding.set_weights([table])


def _check(
    texts: Any,
    num_classes: Any,
    vocabulary: Any,
    experts: Any,
    top_k: Any,
    gate: Any,
) -> None:
    """Refuse what no layer could name, before the texts are read."""
    require(
        is_count(num_classes) and num_classes > 1,
        OWNER,
        "`num_classes` must be an integer above 1.",
        num_classes=num_classes,
    )
    check_kinds(experts, KINDS, GIVEN, OWNER)
    require(
        texts is not None
        or (vocabulary is not None and "ngram" not in experts),
        OWNER,
        "`texts` must be given, unless there is a `vocabulary` and no n-gram "
        "expert.",
        texts=texts,
        experts=tuple(experts),
    )
    check_gate(gate, top_k, "ids", OWNER)


def _ids_of(
    texts: Any, labels: Any, clean: TextCleaning, words: WordIds
) -> Ids:
    """Batches of ids, as arrays, with their labels or None."""
    texts = np.asarray(texts, dtype=object)
    labels = None if labels is None else np.asarray(labels)
    require(
        labels is None or labels.shape == texts.shape,
        OWNER,
        "`labels` must be (N,), one for each of `texts`.",
        texts_shape=texts.shape,
        labels_shape=np.shape(labels),
    )
    batches = []
    for start in range(0, len(texts), BATCH_SIZE):
        place = slice(start, start + BATCH_SIZE)
        encoded = list(map(encode_text, texts[place]))
        found = keras.ops.convert_to_numpy(words(clean(encoded)))
        batches.append((found, None if labels is None else labels[place]))
    return batches
