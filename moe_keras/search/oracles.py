"""keras-tuner's oracles, which spend no trial above the budget.

A trial that fails counts for keras-tuner, and three in a row end its search. So
a configuration is refused where it is drawn: before there is a trial.
"""

import itertools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from moe_keras.errors import require
from moe_keras.storage import write_json

OWNER = "tune"
# Draws in a row that are all refused, after which a search ends.
MOST_DRAWS = 300
MOST_COLLISIONS = 2000
# Of a Bayesian search, configurations among which the best one is taken where
# the best of all is refused.
POOL = 200
FACTOR = 3

Values = dict[str, Any]


class Refusing:
    """Goes before an oracle of keras-tuner, and refuses what it draws.

    Attributes:
        reason_against: from values to why they are no trial, None if they are.
        key: from values to what is the same for the same model.
        refused: by the key of each model that was, why.
    """

    reason_against: Callable[[Values], str | None]
    key: Callable[[Values], str]
    refused: dict[str, str]

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.refused = {}
        self._drawn: Values | None = None

    def allowed(self, values: Values) -> bool:
        """Whether values are to be a trial."""
        key = self.key(values)
        trials = self.trials.values()
        tried = {self.key(trial.hyperparameters.values) for trial in trials}
        if key in tried or key in self.refused:
            return False
        reason = self.reason_against(values)
        if reason is None:
            return True
        self.refused[key] = reason
        # Behind the last trial, nothing else would write it down.
        self.save()
        return False

    def _random_values(self) -> Values | None:
        for _ in range(MOST_DRAWS):
            values = super()._random_values()
            if values is None or self.allowed(values):
                self._drawn = values
                return values
            # So that it is not drawn again.
            self._tried_so_far.add(self._compute_values_hash(values))
        return None

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "refused": self.refused}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        # keras-tuner writes its state just before it takes a trial that has
        # ended off this list, and would run it once more.
        self.ongoing_trials = {
            worker: trial
            for worker, trial in self.ongoing_trials.items()
            if trial.status == TrialStatus.RUNNING
        }
        self.refused = state["refused"]

    # Whole or not at all: a kill may come at any moment.

    def save(self) -> None:
        file = Path(self._get_oracle_fname())
        write_json(file, self.get_state(), sealed=True)

    def _save_trial(self, trial: Any) -> None:
        folder = Path(self._get_trial_dir(trial.trial_id))
        write_json(folder / "trial.json", trial.get_state(), sealed=True)


class RandomOracle(Refusing, keras_tuner.oracles.RandomSearchOracle):
    """Configurations drawn at random."""


class BayesianOracle(Refusing, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process of the score; a third of the trials are random."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # Of few trials the process learns little, and says so.
            warnings.simplefilter("ignore")
            response = super().populate_space(trial_id)
            values = response["values"]
            # What is drawn at random has been asked about.
            if values is None or values is self._drawn or self.allowed(values):
                return response
            values = self._best_of_a_pool()
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        return {"status": TrialStatus.RUNNING, "values": values}

    def _best_of_a_pool(self) -> Values | None:
        """Of some random configurations, the most promising allowed one."""
        pool = [keras_tuner.Oracle._random_values(self) for _ in range(POOL)]
        drawn = [values for values in pool if values is not None]
        if not drawn:
            return None
        points = [
            [hp.value_to_prob(values[hp.name]) for hp in self._nonfixed_space()]
            for values in drawn
        ]
        mean, deviation = self.gpr.predict(np.array(points), return_std=True)
        order = np.argsort(mean - self.beta * deviation)
        return next((drawn[i] for i in order if self.allowed(drawn[i])), None)


class GridOracle(Refusing, keras_tuner.Oracle):
    """All configurations in order, the last name of the space fastest.

    keras-tuner's own one forgets where it was when it is started again, and
    lets workers wait for each other.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._place = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        axes = [list(hp.values) for hp in self.hyperparameters.space]
        names = [hp.name for hp in self.hyperparameters.space]
        for point in itertools.islice(
            itertools.product(*axes), self._place, None
        ):
            self._place += 1
            values = dict(zip(names, point, strict=True))
            if self.allowed(values):
                return {"status": TrialStatus.RUNNING, "values": values}
        return {"status": TrialStatus.STOPPED, "values": None}

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "place": self._place}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._place = state["place"]


class HyperbandOracle(Refusing, keras_tuner.oracles.HyperbandOracle):
    """Hyperband with a number of trials: only whole brackets are begun.

    A bracket starts many configurations with few epochs and goes on with the
    best third of them, three times as long. Brackets follow each other, from
    the largest that the trials suffice for to the one without halving, as long
    as there are trials left.
    """

    def __init__(self, max_trials: int, **options: Any):
        super().__init__(factor=FACTOR, hyperband_iterations=None, **options)
        self.max_trials = max_trials
        self._planned = 0
        self._brackets = []
        self._current_bracket = self._get_num_brackets()
        self._increment_bracket_num()
        self._start_new_bracket()

    def trials_of(self, bracket: int) -> int:
        """How many trials a bracket has."""
        rounds = range(self._get_num_rounds(bracket))
        return sum(self._get_size(bracket, number) for number in rounds)

    def _increment_bracket_num(self) -> None:
        super()._increment_bracket_num()
        # The one without halving may be cut short.
        while (
            self._current_bracket
            and self._planned + self.trials_of(self._current_bracket)
            > self.max_trials
        ):
            super()._increment_bracket_num()

    def _start_new_bracket(self) -> None:
        # keras-tuner's own constructor comes here before ours is done.
        if hasattr(self, "_planned"):
            self._planned += self.trials_of(self._current_bracket)
        super()._start_new_bracket()

    def get_state(self) -> dict[str, Any]:
        # No file in JSON can hold infinity.
        return {
            **super().get_state(),
            "hyperband_iterations": None,
            "planned": self._planned,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.hyperband_iterations = math.inf
        self._planned = state["planned"]


METHODS = ("hyperband", "random", "bayesian", "grid")


def make_oracle(
    method: str,
    hypermodel: Any,
    objective: str,
    trials: int,
    epochs: int,
    seed: int,
) -> keras_tuner.Oracle:
    """An oracle that knows the space, and refuses what is above the budget.

    Args:
        method: one of `METHODS`.
        hypermodel: `MoEHyperModel`.
        objective: `"log_loss"` or `"accuracy"`.
        trials: int > 0, at most.
        epochs: int > 0, the most that Hyperband trains for.
        seed: int >= 0.
    """
    require(
        method in METHODS,
        OWNER,
        f"`method` must be one of {METHODS}.",
        method=method,
    )
    space = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(space)
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(
            objective, "min" if objective == "log_loss" else "max"
        ),
        "max_trials": trials,
        # keras-tuner draws a seed of its own for 0.
        "seed": seed + 1,
        "hyperparameters": space,
        # Failures are counted by the search, which says what failed.
        "max_consecutive_failed_trials": trials + 1,
    }
    oracle: Any
    if method == "random":
        oracle = RandomOracle(**options)
    elif method == "bayesian":
        first = max(3, trials // 3)
        oracle = BayesianOracle(**options, num_initial_points=first)
    elif method == "grid":
        oracle = GridOracle(**options)
    else:
        oracle = HyperbandOracle(**options, max_epochs=epochs)
    oracle.reason_against = hypermodel.reason_against
    oracle.key = hypermodel.key
    oracle.verbose = 0
    # Draws in a row that were there before, after which the space counts as
    # exhausted: keras-tuner's 20 leave out many a configuration of a small one.
    oracle._max_collisions = MOST_COLLISIONS
    return oracle
