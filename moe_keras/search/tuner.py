"""One process of a search: asks for configurations, trains, reports."""

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from moe_keras.search.trials import OUTCOME
from moe_keras.storage import write_json

SCORES = ("accuracy", "log_loss", "ece")
# Between two questions of a worker, or it would ask without a pause while it
# waits for others to finish.
PAUSE_SECONDS = 0.1

Watch = Callable[[str, Any], None]


class MoETuner(BaseTuner):
    """keras-tuner's loop over trials, each of which trains recipes.

    A trial that was running when the search was killed comes again, and its
    training goes on from its last epoch.

    Args:
        oracle: see `make_oracle`.
        hypermodel: `MoEHyperModel`.
        folder: of the project.
        seeds: int > 0. Trainings of each trial, whose scores are averaged.
        watch: told of what happens, and to what.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: Any,
        folder: Path,
        seeds: int = 1,
        watch: Watch | None = None,
    ):
        self._seeds = seeds
        self._watch = watch or (lambda event, subject: None)
        # It tells where it was reloaded from.
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                oracle,
                hypermodel,
                directory=str(folder.parent),
                project_name=folder.name,
            )

    def _populate_initial_space(self) -> None:
        """The oracle knows the space, and no model is built to find it."""

    def _get_tuner_fname(self) -> str:
        # By one name, so that a search of several processes can be gone on
        # with by one, and the other way round.
        name = self.tuner_id if self._is_worker() else "search"
        return str(Path(self.project_dir, f"{name}.json"))

    def save(self) -> None:
        # keras-tuner's own would leave half a file behind a kill.
        if not self._is_worker():
            self.oracle.save()
        write_json(Path(self._get_tuner_fname()), self.get_state())

    def reload(self) -> None:
        # A tuner itself has no state: a damaged file does not matter.
        if not self._is_worker():
            self.oracle.reload()

    def on_search_begin(self) -> None:
        # keras-tuner looks for this file before it goes on with a search.
        self.save()

    def pre_create_trial(self) -> None:
        if self._is_worker():
            time.sleep(PAUSE_SECONDS)

    def on_trial_begin(self, trial: Any) -> None:
        self._watch("trial", trial)

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self._watch("end", trial)

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Train and score a configuration.

        Raises:
            FailedTrialError: when it cannot be trained; the search goes on.
            FatalError: when files cannot be read or written; it ends.
        """
        try:
            return self._train(trial)
        except OSError as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        except Exception as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    def _train(self, trial: Any) -> dict[str, float]:
        values = trial.hyperparameters.values
        epochs = values.get("tuner/epochs")
        folder = Path(self.get_trial_dir(trial.trial_id))
        follow = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._watch("epoch", epoch + 1)
        )
        results = [
            self.hypermodel.train(values, folder, seed, epochs, [follow])
            for seed in range(self._seeds)
        ]
        outcome = self._outcome(values, results)
        write_json(folder / OUTCOME, outcome, sealed=True)
        return dict(outcome["scores"])

    def _outcome(
        self, values: dict[str, Any], results: list[dict[str, Any]]
    ) -> dict[str, Any]:
        def mean(key: str) -> float:
            return statistics.fmean(result[key] for result in results)

        budget, latency = self.hypermodel.budget, None
        if budget is not None and budget.max_latency_ms is not None:
            latency = self.hypermodel.cost(values).latency_ms
        return {
            "arguments": self.hypermodel.recipe(values).builder.arguments,
            "epochs": results[0]["epochs"],
            "scores": {name: mean(name) for name in SCORES},
            "scores_by_seed": [
                {name: result[name] for name in SCORES} for result in results
            ],
            "cost": {
                "multiply_adds": mean("active_multiply_adds"),
                "parameters": results[0]["parameters"],
                "latency_ms": latency,
            },
            "seconds": sum(result["train_seconds"] for result in results),
        }
