"""Fitted decision trees as an expert: o = a + sum_t v_t(leaf of x in t)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import require
from moe_keras.forests import ForestTables, pack_forest, read_forest
from moe_keras.forests.monotone import is_monotone, read_columns
from moe_keras.forests.tables import SIZES, link_bits, shapes_of
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.registration import register
from moe_keras.ops import forest as trees

OWNER = "ForestExpert"
# The least probability of a class: its log is -16.1. Beside 1, float32 cannot
# tell it from 0.
FLOOR = 1e-7
VIEWS = ("view_columns", "view_fills", "view_zeros")
SETS = ("set_columns", "set_starts", "set_levels", "set_flags")


@register
class ForestExpert(ExpertBank):
    """Bank of one expert: an ensemble of trees that another library has fitted.

    `from_model` makes one, with the same probabilities as the library's
    `predict_proba`: softmax of the logits below, to about 1e-6, on rows that
    float32 represents, missing values included. Boosted trees sum their
    answers, o = a + sum_t v_t, and for two classes the logits are (0, o). The
    trees of a random forest are averaged, and the logits are
    log max(mean_t v_t, 1e-7).

    All trees are walked at once, one gather per step and tree; trees that ask
    the same at each depth (CatBoost) in one. The row is compared in float32
    under every dtype policy.

    Args:
        forest: `moe_keras.forests.ForestTables`, or a dict of their sizes, as
            in a configuration: then the arrays are what `set_weights` or a file
            says, and the layer returns a constant until then.
        columns: sequence of int or None. Which columns of the row are those
            that the forest was fitted on, in its order; None for all of them.
            Defaults to `None`.
        trainable_leaves: bool. Whether the answers of the leaves can be
            trained; what nodes ask never is. Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, D)`: numbers as they are, a category as the place
            0..L-1 of its level; NaN where missing. A level that the trees do
            not know goes where the library sends it.
        gates: float `(B, 1)` or None; where 0, the trees are not walked (JAX,
            whose shapes are static, walks them and clears the result).
        group_sizes: int `(1,)` or None; with it, the result is `(B, C)`.

    Returns:
        float `(B, 1, C)`: logits of the classes, behind an expert axis of
        length 1; finite for every row.

    Source: Nakandala et al. (2020), A tensor compiler for unified machine
        learning prediction serving, arXiv:2010.04804 (trees as tensors).

    Example:
    >>> fitted = RandomForestClassifier().fit(rows, labels)
    >>> ForestExpert.from_model(fitted)(rows[:8]).shape
    TensorShape([8, 1, 2])
    """

    row_rank = 1
    needs_floats = True
    # Half precision would move rows across thresholds.
    keeps_rows = True

    def __init__(
        self,
        forest: Any,
        columns: Sequence[int] | None = None,
        trainable_leaves: bool = False,
        **kwargs: Any,
    ):
        # Half precision would move rows across thresholds.
        super().__init__(1, autocast=False, **kwargs)
        sizes = forest.sizes if isinstance(forest, ForestTables) else forest
        require(
            isinstance(sizes, Mapping) and set(sizes) == set(SIZES),
            OWNER,
            "`forest` must be ForestTables or a dict of their sizes; "
            "`ForestExpert.from_model` reads a fitted model.",
            forest=forest,
        )
        self.sizes = {name: int(sizes[name]) for name in SIZES}
        width = self.sizes["columns"]
        places = [0] * width if columns is None else list(columns)
        require(
            len(places) == width and min(places) >= 0,
            OWNER,
            f"`columns` must be None or the places of {width} columns.",
            columns=columns,
        )
        self.columns = None if columns is None else tuple(map(int, columns))
        self.trainable_leaves = trainable_leaves
        self._tables = forest if isinstance(forest, ForestTables) else None

    @classmethod
    def from_model(
        cls,
        model: Any,
        levels: Mapping[int, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> "ForestExpert":
        """The expert of a fitted classifier.

        Args:
            model: of scikit-learn, XGBoost, LightGBM or CatBoost; see
                `moe_keras.forests.read_forest`.
            levels: for CatBoost, from columns of the model to the spellings of
                their levels, in the order of their places.
            **kwargs: `columns`, `trainable_leaves` and `keras.layers.Layer`
                arguments.

        Raises:
            ValueError: for a model that cannot be read, by its name.
        """
        return cls(pack_forest(read_forest(model, levels)), **kwargs)

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        self._check_width(row_shape)
        given = {} if self._tables is None else self._tables.arrays
        self.tables = {}
        for name, (shape, dtype) in shapes_of(self.sizes).items():
            trained = self.trainable_leaves and name == "leaves"
            weight = self.add_weight(
                shape,
                "zeros",
                # Leaves have the dtype of what is trained.
                dtype=None if name == "leaves" else dtype,
                trainable=trained,
                autocast=False,
                name=name,
            )
            # A threshold that is rounded sends rows another way.
            weight.keep_exact = name != "leaves"
            if name in given:
                weight.assign(given[name])
            self.tables[name] = weight

    def _check_width(self, row_shape: tuple[int | None, ...]) -> None:
        width = self.sizes["columns"]
        fits = len(row_shape) == 1 and row_shape[0] is not None
        if fits and self.columns is None:
            fits = row_shape[0] == width
        elif fits:
            fits = row_shape[0] > max(self.columns)
        require(
            fits,
            OWNER,
            f"`inputs` must be rows (B, D) with the forest's {width} columns, "
            "or those that `columns` names; `gates`, if any, (B, 1).",
            row_shape=row_shape,
            columns=self.columns,
        )

    def split_bank(self) -> list[Any]:
        return [
            {
                name: ops.convert_to_tensor(weight)
                for name, weight in self.tables.items()
            }
        ]

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        leaves = self._leaves_of(expert, rows)
        sums = trees.sum_leaves(
            expert["leaves"][0], leaves, self.sizes["scores"]
        )
        sums = sums + ops.cast(expert["offsets"], sums.dtype)
        logits = trees.class_logits(
            sums, self.sizes["trees"], bool(self.sizes["averaged"]), FLOOR
        )
        return ops.cast(logits, self.compute_dtype)

    def _leaves_of(self, expert: Any, rows: Any) -> Any:
        """The leaf of each row in each tree, int `(N, T)`."""
        sizes, depth = self.sizes, self.sizes["depth"]
        rows = ops.stop_gradient(ops.cast(rows, "float32"))
        if self.columns is not None:
            rows = ops.take(rows, np.asarray(self.columns, "int32"), axis=1)
        asked = [expert[name] for name in VIEWS]
        views = trees.number_views(rows, *asked)
        if sizes["sets"]:
            asked = [expert[name] for name in SETS]
            levels = trees.level_views(rows, *asked)
            views = ops.concatenate([views, levels], axis=1)
        asked = [expert[name] for name in ("roots", "links", "thresholds")]
        if not sizes["nodes"]:
            return trees.symmetric_leaves(views, *asked, depth)
        nodes = trees.walk_trees(views, *asked, depth, link_bits(sizes))
        return ops.take(expert["node_leaves"], nodes, axis=0)

    # --- what the trees say of columns ---

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays as they are now, by name; the layer must be built."""
        require(self.built, OWNER, "the layer must be built.", built=self.built)
        return {
            name: np.asarray(ops.convert_to_numpy(weight))
            for name, weight in self.tables.items()
        }

    def columns_read(self) -> tuple[int, ...]:
        """The columns of the row that some node of the trees asks."""
        return tuple(
            sorted(
                column if self.columns is None else self.columns[column]
                for column in read_columns(self.sizes, self.arrays())
            )
        )

    def is_monotone(self, column: int, sign: int = 1) -> bool:
        """Whether class 1 of two never loses by a larger number in a column.

        It is so where, at every node that asks the column, no leaf on the left
        is above one on the right, whatever the rest of the row holds. That is
        enough, and all that monotone constraints of the libraries promise; a
        forest may be monotone without. Missing values are not compared with
        numbers.

        Args:
            column: int, of the row.
            sign: 1, or -1 for a class that never wins.

        Returns:
            Also True for a column that no node asks.

        Raises:
            ValueError: for more classes than two, or a layer not built.
        """
        require(sign in (-1, 1), OWNER, "`sign` must be 1 or -1.", sign=sign)
        require(
            self.sizes["classes"] == 2,
            OWNER,
            "monotone are forests of two classes.",
            classes=self.sizes["classes"],
        )
        if column not in self.columns_read():
            return True
        own = column if self.columns is None else self.columns.index(column)
        return is_monotone(self.sizes, self.arrays(), own, sign)

    def monotone_columns(self, sign: int = 1) -> tuple[int, ...]:
        """The columns that are read, and of which `is_monotone` holds."""
        read = self.columns_read()
        return tuple(c for c in read if self.is_monotone(c, sign))

    # --- the rest of what a bank implements ---

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.sizes["classes"],)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        # Each of the trees is walked as deep as the deepest.
        return self.sizes["trees"] * self.sizes["depth"]

    def widths(self) -> dict[str, Any]:
        """None: the size of a fitted forest is fixed."""
        return {}

    def single_expert(self, factor: float = 1.0) -> "ForestExpert":
        """The same trees: there is nothing to fit them to here."""
        tables = self._tables
        if self.built:
            tables = ForestTables(self.sizes, self.arrays())
        config = self.get_config()
        return type(self)(**{**config, "forest": tables or config["forest"]})

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_experts"]
        return {
            **config,
            "forest": dict(self.sizes),
            "columns": self.columns and list(self.columns),
            "trainable_leaves": self.trainable_leaves,
        }

    @property
    def output_units(self) -> int:
        """C, the classes."""
        return self.sizes["classes"]
