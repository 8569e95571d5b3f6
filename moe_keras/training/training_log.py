"""History and clocks of a training, across interruptions."""

import time
from typing import Any

import keras

from moe_keras.training.state import Arrays, State


class TrainingLog(keras.callbacks.Callback):
    """What was logged at the end of each epoch, and the time it took.

    Time counts up to the last finished epoch: what an interruption lost is not
    in it.

    Attributes:
        history: by name, one value per epoch.
        seconds: wall time.
        cpu_seconds: of the process, all its threads together.
        restarts: the epochs, counted from 0, from which it went on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.seconds = self.cpu_seconds = 0.0
        self.restarts: list[int] = []
        self._clocks = (0.0, 0.0)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._clocks = time.perf_counter(), time.process_time()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        before = self._clocks
        self._clocks = time.perf_counter(), time.process_time()
        self.seconds += self._clocks[0] - before[0]
        self.cpu_seconds += self._clocks[1] - before[1]

    def get_state(self) -> State:
        return [], {
            "history": self.history,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "restarts": self.restarts,
        }

    def set_state(self, arrays: Arrays, facts: Any) -> None:
        self.history = facts["history"]
        self.seconds = facts["seconds"]
        self.cpu_seconds = facts["cpu_seconds"]
        self.restarts = facts["restarts"]
