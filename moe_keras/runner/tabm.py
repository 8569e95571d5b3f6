"""TabM, by its authors' own package, as a classifier of scikit-learn."""

import copy
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer

# Rows at once where nothing is learned.
READING = 4096


class TabMClassifier(ClassifierMixin, BaseEstimator):
    """An ensemble of networks with common weights, over a data frame.

    Numbers are filled with the median where missing, brought to a normal
    distribution and embedded piecewise linearly (48 bins, 16 units); texts are
    categories. AdamW, until the log-loss of 15 % of the rows, which are not
    learned, has not fallen for `patience` epochs; the best weights are kept.

    Args:
        members: int > 0. Networks.
        units: int > 0. Of each of the two hidden layers of a network.
        epochs: int > 0. At most.
        patience: int > 0. Epochs.
        seed: int >= 0.

    Raises:
        ImportError: on `fit`, when `torch` and `tabm` are not installed.

    Source: Gorishniy, Kotelnikov & Babenko (2025), TabM: Advancing tabular deep
        learning with parameter-efficient ensembling, ICLR, arXiv:2410.24210,
        with the defaults of its package but for the size: 16 members of 256
        units for 32 of 512.
    """

    BATCH = 256
    LEARNING_RATE = 2e-3
    WEIGHT_DECAY = 3e-4

    def __init__(
        self,
        members: int = 16,
        units: int = 256,
        epochs: int = 60,
        patience: int = 8,
        seed: int = 0,
    ):
        self.members = members
        self.units = units
        self.epochs = epochs
        self.patience = patience
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "TabMClassifier":
        """Fit to a frame and labels 0..C-1, by scikit-learn's names."""
        import torch

        torch.manual_seed(self.seed)
        self._adapt(X)
        self.classes_ = np.unique(y)
        places = np.arange(len(y))
        learned, held = train_test_split(
            places, test_size=0.15, random_state=self.seed, stratify=y
        )
        rows, labels = self._rows(X), torch.as_tensor(np.asarray(y))
        model = self._make(rows[0])
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=self.LEARNING_RATE,
            weight_decay=self.WEIGHT_DECAY,
        )
        best, kept, waited = np.inf, model.state_dict(), 0
        rng = np.random.default_rng(self.seed)
        for _ in range(self.epochs):
            model.train()
            order = rng.permutation(learned)
            for start in range(0, len(order), self.BATCH):
                part = order[start : start + self.BATCH]
                # Each member has a loss of its own.
                logits = model(*_take(rows, part)).flatten(0, 1)
                targets = labels[part].repeat_interleave(self.members)
                loss = torch.nn.functional.cross_entropy(logits, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            chances = _chances(model, _take(rows, held))
            found = -np.log(
                chances[np.arange(len(held)), labels[held].numpy()]
            ).mean()
            if found < best:
                best, waited = found, 0
                kept = copy.deepcopy(model.state_dict())
            else:
                waited += 1
            if waited == self.patience:
                break
        model.load_state_dict(kept)
        self.model_ = model
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """The mean of the members' probabilities, `(N, C)`."""
        return _chances(self.model_, self._rows(X))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """The likeliest class, `(N,)`."""
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(1)]
        return found

    def _adapt(self, frame: pd.DataFrame) -> None:
        kinds = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
        self._numeric = frame.columns[kinds]
        self._textual = frame.columns[~np.array(kinds)]
        if len(self._numeric):
            self._scaler = make_pipeline(
                SimpleImputer(strategy="median", keep_empty_features=True),
                QuantileTransformer(
                    n_quantiles=min(1000, len(frame)),
                    output_distribution="normal",
                    random_state=self.seed,
                ),
                # A column that says nothing has no bins.
                VarianceThreshold(),
            ).fit(frame[self._numeric])
        if len(self._textual):
            self._levels = OrdinalEncoder(
                handle_unknown="use_encoded_value",
                unknown_value=-1,
                encoded_missing_value=-1,
            ).fit(frame[self._textual])

    def _rows(self, frame: pd.DataFrame) -> tuple[Any, Any]:
        """Numbers `(N, D)` and places of levels `(N, F)`; None for none."""
        import torch

        numbers = places = None
        if len(self._numeric):
            found = self._scaler.transform(frame[self._numeric])
            numbers = torch.as_tensor(np.asarray(found, "float32"))
        if len(self._textual):
            # The first place is that of what is new, or missing.
            found = 1 + self._levels.transform(frame[self._textual])
            places = torch.as_tensor(np.asarray(found, "int64"))
        return numbers, places

    def _make(self, numbers: Any) -> Any:
        import rtdl_num_embeddings
        import tabm

        levels = self._levels.categories_ if len(self._textual) else []
        return tabm.TabM.make(
            n_num_features=0 if numbers is None else numbers.shape[1],
            cat_cardinalities=[1 + len(one) for one in levels],
            d_out=len(self.classes_),
            k=self.members,
            d_block=self.units,
            n_blocks=2,
            num_embeddings=None
            if numbers is None
            else rtdl_num_embeddings.PiecewiseLinearEmbeddings(
                rtdl_num_embeddings.compute_bins(numbers),
                d_embedding=16,
                activation=False,
                version="B",
            ),
        )


def _take(rows: tuple[Any, Any], places: np.ndarray) -> list[Any]:
    return [None if part is None else part[places] for part in rows]


def _chances(model: Any, rows: Any) -> np.ndarray:
    import torch

    model.eval()
    count = next(len(part) for part in rows if part is not None)
    with torch.no_grad():
        found = [
            model(*_take(rows, np.arange(start, min(start + READING, count))))
            .softmax(-1)
            .mean(1)
            for start in range(0, count, READING)
        ]
        chances: np.ndarray = torch.cat(found).double().numpy()
    return chances
