"""Train mixtures and dense twins the same way, and score them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from rich.console import Console

from moe_keras.data import Dataset, Split
from moe_keras.insight import classification_scores
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.training import ProgressBar
from moe_keras.zoo import build_image_moe, dense_twin

BATCH_SIZE = 64
# Adam's peak rate; it falls to 0 along a half cosine.
LEARNING_RATE = 2e-3
# A shift by up to 0.1 of 8 pixels, and a turn by up to 9 degrees.
AUGMENTATION = 0.1

# Twice the experts of the default, and as many multiply-adds: two see an image.
SPARSE = {"experts": {"conv": 2, "recurrent": 2}, "top_k": 2}

MIXTURES = ("mixture", "sparse mixture")
# Dense networks: of the mixture's active multiply-adds, of its parameters.
TWINS = ("active twin", "parameter twin")
CONTESTANTS = (*MIXTURES, *TWINS)


@dataclass(frozen=True)
class Result:
    """One trained model.

    Attributes:
        contestant: one of `CONTESTANTS`.
        seed: of weights, order and augmentation.
        model: trained.
        probabilities: float `(N, C)`, of the test split.
        history: by name, one value per epoch.
        scores: accuracy, log_loss and ece on the test split.
        parameters: number of weights.
        active_multiply_adds: per example.
        seconds: wall time of the training.
    """

    contestant: str
    seed: int
    model: keras.Model
    probabilities: np.ndarray
    history: dict[str, list[float]]
    scores: dict[str, float]
    parameters: int
    active_multiply_adds: float
    seconds: float

    def row(self) -> dict[str, Any]:
        """What a file of results keeps of it."""
        return {
            "contestant": self.contestant,
            "seed": self.seed,
            **self.scores,
            "parameters": self.parameters,
            "active_multiply_adds": self.active_multiply_adds,
            "train_seconds": round(self.seconds, 1),
        }


def run_contest(
    data: Dataset, seeds: Sequence[int], epochs: int, console: Console
) -> Iterator[Result]:
    """Train four models for each seed, and yield each as it is done.

    On the whole training split: nothing is chosen here that would need a
    validation split.
    """
    train = data.whole_train()
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        shape, classes = train.inputs.shape[1:], len(data.classes)
        mixture = build_image_moe(shape, classes, augmentation=AUGMENTATION)
        models = (
            mixture,
            build_image_moe(
                shape,
                classes,
                augmentation=AUGMENTATION,
                name="sparse_image_moe",
                **SPARSE,
            ),
            dense_twin(mixture),
            dense_twin(mixture, match="parameters"),
        )
        for contestant, model in zip(CONTESTANTS, models, strict=True):
            label = contestant if len(seeds) == 1 else f"{contestant} #{seed}"
            yield _train(
                contestant,
                model,
                train,
                data.test,
                seed,
                epochs,
                ProgressBar(label, console),
            )


def _train(
    contestant: str,
    model: keras.Model,
    train: Split,
    test: Split,
    seed: int,
    epochs: int,
    progress: keras.callbacks.Callback,
) -> Result:
    steps = epochs * -(-len(train) // BATCH_SIZE)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # Every contestant sees the same order of batches.
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    history = model.fit(
        train.inputs,
        train.labels,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=0,
        callbacks=[progress],
    )
    seconds = time.perf_counter() - start
    probabilities = model.predict(test.inputs, verbose=0)
    return Result(
        contestant=contestant,
        seed=seed,
        model=model,
        probabilities=probabilities,
        history=history.history,
        scores=classification_scores(test.labels, probabilities),
        parameters=model.count_params(),
        active_multiply_adds=count_multiply_adds(model).active,
        seconds=seconds,
    )
