"""Experts that score the n-grams of a text: naive Bayes, trained further."""

from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.hashed_bank import HashedBank
from moe_keras.layers.registration import register
from moe_keras.ops import kernels
from moe_keras.ops.fusion import widen
from moe_keras.ops.naive_bayes import PresenceCounts, batches_of
from moe_keras.ops.ngrams import ngram_count, take_rows


@register
class NGramExpert(HashedBank):
    """Bank of linear classifiers of the n-grams in a text.

    o_c = b_c + sum_f (w0 + w_fc) r_fc / scale over the distinct n-grams f of a
    text, of orders 1 to `max_order`: each counts once, however often it occurs.
    r are log-count ratios of naive Bayes, which `adapt` counts; w and b are
    trained, by gradient. Before `adapt`, r is 0, and the layer returns b, which
    is all of it that learns: adapt it first. Then, as w begins as 0, it is
    naive Bayes with its scores times `base_weight / scale`.

    The n-grams are hashed into `buckets`, and those that share one share its
    numbers (see `moe_keras.ops.ngrams` for the hash, which is that of all
    backends). Two classes need one number per bucket: the score s is that of
    class 1 against class 0, and the logits are (-s/2, s/2). More classes have
    one each, of the class against all others.

    The two constants only set how the training begins and how fast it is. The
    n-grams of a text say the same thing many times over, so that naive Bayes is
    far too sure: with 700 n-grams its scores reach hundreds. A factor of 1/25
    brings them to where a softmax has a gradient. And an optimizer with steps
    of one size, such as Adam, moves all w of a text at once: the `scale` keeps
    what they add up to in one step about as small as w itself.

    Args:
        output_units: int > 1. C, the number of classes.
        num_experts: int > 0. E. Every expert has numbers of its own; they begin
            equal, and only their gates, or `adapt` on rows of their own, set
            them apart. Defaults to `1`.
        buckets: int in 2..2^24. Numbers per expert (and class, above two); the
            first one is not used. Defaults to `1048576`.
        max_order: int in 1..5. The longest n-grams. Defaults to `3`.
        base_weight: float. w0, the weight of naive Bayes. Defaults to `0.4`.
        scale: float > 0, divides all scores. Defaults to `10.0`.
        ratio_initializer: str, dict or `keras.initializers.Initializer` of r.
            `"ones"`, with `base_weight=0`, makes a plain linear classifier that
            need not be adapted. Defaults to `"zeros"`.
        folded: bool. Whether there is one table, of (w0 + w) r, in the place of
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

    Returns:
        float `(B, E, C)`: logits, one slice per expert, not yet weighted, zeros
        where the gate is 0; summed in at least float32.

    Source: Wang & Manning (2012), Baselines and bigrams, ACL, P12-2018 (the
        ratios, on presence); w0 and the scale as constants in front of trained
        weights are Jeremy Howard's (fast.ai, "DotProdNB", 2017).

    Example:
    >>> bank = NGramExpert(2)
    >>> bank.build((None, 256))
    >>> bank.adapt(ids, labels)
    >>> bank(ids[:4]).shape
    TensorShape([4, 1, 2])
    """

    def __init__(
        self,
        output_units: int,
        num_experts: int = 1,
        buckets: int = 1048576,
        max_order: int = 3,
        base_weight: float = 0.4,
        scale: float = 10.0,
        ratio_initializer: Any = "zeros",
        folded: bool = False,
        **kwargs: Any,
    ):
        super().__init__(num_experts, buckets, max_order, **kwargs)
        require(
            is_count(output_units) and output_units > 1,
            "NGramExpert",
            "`output_units` must be an integer above 1.",
            output_units=output_units,
        )
        require(scale > 0, "NGramExpert", "`scale` must be > 0.", scale=scale)
        self.output_units = output_units
        self.base_weight = base_weight
        self.scale = scale
        self.ratio_initializer = keras.initializers.get(ratio_initializer)
        self.folded = folded

    @property
    def _columns(self) -> tuple[int, ...]:
        """The axis of the scores, which two classes do not need."""
        return () if self.output_units == 2 else (self.output_units,)

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
            self.ratios = self._add_table(
                "ratios", self.ratio_initializer, trainable=False
            )

    def _add_table(
        self, name: str, initializer: Any = "zeros", trainable: bool = True
    ) -> Any:
        """Numbers for the buckets, not cast as a whole under half policies."""
        return self.add_weight(
            (self.num_experts, self.buckets, *self._columns),
            initializer,
            trainable=trainable,
            autocast=False,
            name=name,
        )

    # --- naive Bayes, and back to one table ---

    def adapt(
        self,
        ids: Any,
        labels: Any = None,
        alpha: float = 1.0,
        expert: int | None = None,
    ) -> None:
        """Count the log-count ratios r, and set b to the log-odds of classes.

        With p = alpha + how many texts of a class an n-gram is in, and q the
        same for all other classes, r = log((p / |p|) / (q / |q|)), the norms
        summed over the buckets that occur; r is 0 for those that do not.

        Args:
            ids: int `(N, T)`; or, without labels, an iterable of batches `(ids,
                labels)`, whose lengths T may differ.
            labels: int `(N,)` in 0..C-1, or None.
            alpha: float > 0, the texts of each class that an n-gram is in
                before the first is read.
            expert: int in 0..E-1, which expert is adapted; None for all.

        Raises:
            ValueError: if there is no text or another class, and for a layer
                that is not built or is folded.
        """
        require(
            self.built and not self.folded,
            "NGramExpert",
            "`adapt` needs a layer that is built, and not folded.",
            built=self.built,
            folded=self.folded,
        )
        require(alpha > 0, "NGramExpert", "`alpha` must be > 0.", alpha=alpha)
        require(
            expert is None or expert in range(self.num_experts),
            "NGramExpert",
            "`expert` must be an integer in 0..num_experts-1, or None.",
            expert=expert,
        )
        counts = PresenceCounts(self.output_units, self.buckets)
        for batch, classes in batches_of(ids, labels):
            places = self.read_places(ops.convert_to_tensor(batch))
            counts.add(ops.convert_to_numpy(places), classes)
        adapted = range(self.num_experts) if expert is None else [expert]
        for weight, value in (
            (self.ratios, counts.log_ratios(alpha)),
            (self.bias, counts.log_priors(alpha)),
        ):
            values = np.array(ops.convert_to_numpy(weight))
            values[list(adapted)] = value
            weight.assign(values)

    def fold(self) -> None:
        """Put (w0 + w) r into one table: the same results, half the weights.

        The layer is then one with `folded=True`. What is trained afterwards is
        that table, as in a linear classifier. A model that has been compiled
        has to be compiled again before it is trained.
        """
        require(
            self.built,
            "NGramExpert",
            "`fold` needs a layer that is built.",
            built=self.built,
        )
        if self.folded:
            return
        adjustments, ratios = (
            ops.convert_to_numpy(weight)
            for weight in (self.adjustments, self.ratios)
        )
        self._untrack_variable(self.adjustments)
        self._untrack_variable(self.ratios)
        del self.adjustments, self.ratios
        # A new weight, as functions that were traced before hold the old ones.
        self._tracker.unlock()
        with self._open_name_scope():
            self.table = self._add_table("weights")
        self._tracker.lock()
        self.table.assign((self.base_weight + adjustments) * ratios)
        self.folded = True

    # --- what a bank implements ---

    def split_bank(self) -> list[Any]:
        """E tuples: the bias of one expert, and its tables."""
        weights = (
            [self.table] if self.folded else [self.adjustments, self.ratios]
        )
        parts = [
            kernels.unstack(ops.convert_to_tensor(weight))
            for weight in (self.bias, *weights)
        ]
        return list(zip(*parts, strict=True))

    def score_places(self, expert: Any, places: Any) -> Any:
        bias, *tables = expert
        rows = [take_rows(table, places) for table in tables]
        if not self.folded:
            adjustments, ratios = rows
            rows = [(self.base_weight + adjustments) * ratios]
        scores = ops.sum(rows[0], axis=1) / self.scale + widen(bias)
        if self.output_units == 2:
            scores = ops.stack([-scores / 2, scores / 2], axis=-1)
        return ops.cast(scores, self.compute_dtype)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.output_units,)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        width = 1 if self.output_units == 2 else self.output_units
        return ngram_count(row_shape[0], self.max_order) * width

    def widths(self) -> dict[str, Any]:
        """None: how many n-grams are looked up is the text's to say."""
        return {}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "base_weight": self.base_weight,
            "scale": self.scale,
            "ratio_initializer": keras.initializers.serialize(
                self.ratio_initializer
            ),
            "folded": self.folded,
        }
