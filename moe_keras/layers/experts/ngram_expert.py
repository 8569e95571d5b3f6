"""Experts that score the n-grams of a text: a table of those that are known."""

import math
from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import is_count, require, require_counts
from moe_keras.layers.ngram_bank import NGramBank
from moe_keras.layers.registration import register
from moe_keras.ops import kernels
from moe_keras.ops.naive_bayes import (
    PresenceCounts,
    batches_of,
    inverse_frequencies,
    log_ratios,
)
from moe_keras.ops.ngrams import ngram_count, sum_over_root, take_rows
from moe_keras.ops.rarity import usual_min_texts
from moe_keras.ops.scaling import widen

OWNER = "NGramExpert"
BASE_WEIGHTS = {"log_count_ratio": 1.0, "inverse_frequency": 0.0}  # w0


@register
class NGramExpert(NGramBank):
    """Bank of linear classifiers of the n-grams in a text.

    o_c = b_c + sum_f (w0 + a w_fc) r_fc / sqrt(n) over the n distinct n-grams f
    of a text, of orders 1 to `max_order`, that are known: each counts once,
    however often it occurs. `adapt` says which are known, and counts r; w and b
    are trained, by gradient. Before `adapt`, none is known, and the layer
    returns b.

    r are log-count ratios of naive Bayes, which the layer begins as, as w is 0
    and w0 their weight. Or r are inverse document frequencies, and w alone
    tells classes apart. The root is the length of a text's vector of ones and
    zeros: n-grams say the same thing many times over, and without it the layer
    is far too sure of long texts.

    The factor a makes steps long, as most n-grams are in few texts: Adam's
    usual 0.001 moves a w by 0.05, and an epoch or two will do.

    Two classes need one number per n-gram: the score s is that of class 1
    against class 0, and the logits are (-s/2, s/2). More classes have one each,
    of the class against all others. What an n-gram is known by is a key of 31
    bits, the same on all backends: see `moe_keras.ops.ngrams`.

    Args:
        output_units: int > 1. C, the number of classes.
        num_experts: int > 0. E. Every expert has w and b of its own; they begin
            equal, and only their gates set them apart. Defaults to `1`.
        max_ngrams: int > 1. Places in the tables, the first of which is never
            used: at most one n-gram less is known. Defaults to `262144`.
        max_order: int in 1..5. The longest n-grams. Defaults to `3`.
        span: int or None. Which places of a text are read: the first n where n
            > 0, the last -n where n < 0, all for None. A text ends behind its
            last word. Defaults to `None`.
        weighting: `"log_count_ratio"` or `"inverse_frequency"`. What r is.
            Defaults to `"log_count_ratio"`.
        base_weight: float or None. w0; None for 1 of ratios, and for 0 of
            inverse frequencies. Defaults to `None`.
        step_factor: float > 0. a. Defaults to `50.0`.
        folded: bool. Whether one table, of (w0 + a w) r, is in the place of
            two; see `fold`. Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: int `(B, T)`, numbers of words; 0 for padding, which is at the
            end. N-grams that reach into padding do not exist.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are texts sorted by
            expert, and the result has no expert axis.
        mask: bool `(B, T)` or None; words that are False are read as padding.
            Within a text, they still take up a place of the span.

    Returns:
        float `(B, E, C)`: logits, one slice per expert, not yet weighted, zeros
        where the gate is 0; summed in at least float32.

    Source: Wang & Manning (2012), Baselines and bigrams, ACL, P12-2018 (the
        ratios, on presence, without the root); w0 as a constant in front of
        trained weights is Jeremy Howard's (fast.ai, "DotProdNB", 2017);
        vectors of terms over their length: Salton & Buckley (1988),
        Term-weighting approaches, Inf. Process. Manag. 24 (5), 513-523.

    Example:
    >>> bank = NGramExpert(2)
    >>> bank.build((None, 256))
    >>> known = bank.adapt(ids, labels)
    >>> bank(ids[:4]).shape
    TensorShape([4, 1, 2])
    """

    def __init__(
        self,
        output_units: int,
        num_experts: int = 1,
        max_ngrams: int = 262_144,
        max_order: int = 3,
        span: int | None = None,
        weighting: str = "log_count_ratio",
        base_weight: float | None = None,
        step_factor: float = 50.0,
        folded: bool = False,
        **kwargs: Any,
    ):
        super().__init__(num_experts, max_ngrams, max_order, span, **kwargs)
        require(
            is_count(output_units) and output_units > 1,
            OWNER,
            "`output_units` must be an integer above 1.",
            output_units=output_units,
        )
        require(
            weighting in BASE_WEIGHTS,
            OWNER,
            f"`weighting` must be one of {sorted(BASE_WEIGHTS)}.",
            weighting=weighting,
        )
        rule = "`step_factor` must be > 0."
        require(step_factor > 0, OWNER, rule, step_factor=step_factor)
        self.output_units = output_units
        self.step_factor = step_factor
        self.weighting = weighting
        self.base_weight = base_weight
        usual = BASE_WEIGHTS[weighting]
        self._w0 = usual if base_weight is None else base_weight
        self.folded = folded

    def build_tables(self) -> None:
        # First, as it is in a layer that is folded later.
        self.bias = self.add_weight(
            (self.num_experts, *self._columns),
            "zeros",
            autocast=False,
            name="bias",
        )
        if self.folded:
            self.table = self._add_table("weights")
        else:
            self.adjustments = self._add_table("adjustments")
            self.ratios = self._add_table("ratios", trainable=False)

    @property
    def _columns(self) -> tuple[int, ...]:
        """The axis of the scores, which two classes do not need."""
        return () if self.output_units == 2 else (self.output_units,)

    def _add_table(self, name: str, trainable: bool = True) -> Any:
        """Numbers of n-grams, not cast as a whole under half policies."""
        return self.add_weight(
            (self.num_experts, self.max_ngrams, *self._columns),
            "zeros",
            trainable=trainable,
            autocast=False,
            name=name,
        )

    # --- what is known, and one table of it ---

    def adapt(
        self,
        ids: Any,
        labels: Any = None,
        alpha: float = 1.0,
        min_texts: int | None = None,
    ) -> int:
        """Learn which n-grams there are, and count r; w becomes 0.

        Those in at least `min_texts` texts are known, or the most frequent of
        them; of equals, those of the smallest keys. With p = alpha + how many
        texts of a class an n-gram is in, and q the same for all other classes,
        log-count ratios are r = log((p / |p|) / (q / |q|)), the norms summed
        over the known n-grams; inverse frequencies are r = log(N / df), with
        N texts of which df have the n-gram. b becomes the log-odds of the
        classes, 0 without labels.

        Args:
            ids: int array `(N, T)`; or, without labels, an iterable of batches,
                whose lengths T may differ: pairs (tuples) of `(n, T)` and of
                labels `(n,)`, or arrays `(n, T)` alone.
            labels: int `(N,)` in 0..C-1, or None; inverse frequencies do
                without any.
            alpha: float > 0, the texts of each class that an n-gram is in, and
                that there are, before the first is read.
            min_texts: int > 0 or None: 2 of fewer than 5,000 texts, 3 of fewer
                than 20,000, else 5. For ratios, up to 5 of few texts too where
                a class is small, see `moe_keras.ops.rarity`.

        Returns:
            How many n-grams are known.

        Raises:
            ValueError: if there is no such n-gram or another class, for ratios
                without labels, and for a layer that is not built or is folded.
        """
        require(
            self.built and not self.folded,
            OWNER,
            "`adapt` needs a layer that is built, and not folded.",
            built=self.built,
            folded=self.folded,
        )
        require(alpha > 0, OWNER, "`alpha` must be > 0.", alpha=alpha)
        if min_texts is not None:
            require_counts(OWNER, min_texts=min_texts)
        is_ratio = self.weighting == "log_count_ratio"
        counts = PresenceCounts(self.output_units, needs_labels=is_ratio)
        for texts, classes in batches_of(ids, labels):
            read = self.read_keys(ops.convert_to_tensor(texts))
            counts.add(ops.convert_to_numpy(read), classes)
        if min_texts is None:
            min_texts = usual_min_texts(counts.class_sizes, self.weighting)
        keys, found = counts.frequent(min_texts, self.max_ngrams - 1)
        ratios = np.zeros(self.ratios.shape[1:])
        ratios[1 : 1 + len(keys)] = (
            log_ratios(found, alpha)
            if is_ratio
            else inverse_frequencies(found, counts.num_texts)
        )
        self.know(keys)
        bias = counts.log_priors(alpha)
        weights = self.ratios, self.adjustments, self.bias
        for weight, value in zip(weights, (ratios, 0.0, bias), strict=True):
            weight.assign(np.full(weight.shape, value, "float32"))
        return len(keys)

    def fold(self) -> None:
        """Put (w0 + a w) r into one table: the same results, fewer weights.

        The layer is then one with `folded=True`. What is trained afterwards is
        that table, as in a linear classifier. A model that has been compiled
        has to be compiled again before it is trained.
        """
        require(
            self.built,
            OWNER,
            "`fold` needs a layer that is built.",
            built=self.built,
        )
        if self.folded:
            return
        pair = self.adjustments, self.ratios
        adjustments, ratios = map(ops.convert_to_numpy, pair)
        for weight in pair:
            self._untrack_variable(weight)
        del self.adjustments, self.ratios
        # A new weight, as functions that were traced before hold the old ones.
        self._tracker.unlock()
        with self._open_name_scope():
            self.table = self._add_table("weights")
        self._tracker.lock()
        self.table.assign(self._weigh(adjustments, ratios))
        # Not by hand, as other arguments neither: only with its table.
        object.__setattr__(self, "folded", True)

    # --- what a bank implements ---

    def split_bank(self) -> list[Any]:
        """E tuples: the bias of one expert, and its tables."""
        weights = (
            [self.bias, self.table]
            if self.folded
            else [self.bias, self.adjustments, self.ratios]
        )
        tensors = map(ops.convert_to_tensor, weights)
        return list(zip(*map(kernels.unstack, tensors), strict=True))

    def score_places(self, expert: Any, places: Any) -> Any:
        bias, *tables = expert
        rows = [take_rows(table, places) for table in tables]
        if not self.folded:
            rows = [self._weigh(*rows)]
        scores = sum_over_root(rows[0], places) + widen(bias)
        if self.output_units == 2:
            scores = ops.stack([-scores / 2, scores / 2], axis=-1)
        return ops.cast(scores, self.compute_dtype)

    def _weigh(self, adjustments: Any, ratios: Any) -> Any:
        return (self._w0 + self.step_factor * adjustments) * ratios

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.output_units,)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        length = min(row_shape[0], abs(self.span or row_shape[0]))
        return ngram_count(length, self.max_order) * math.prod(self._columns)

    def widths(self) -> dict[str, Any]:
        """None: how many n-grams are looked up is the text's to say."""
        return {}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "weighting": self.weighting,
            "base_weight": self.base_weight,
            "step_factor": self.step_factor,
            "folded": self.folded,
        }
