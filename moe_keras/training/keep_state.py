"""Write all state at the end of each epoch, and go on from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from moe_keras.training.identity import require_same
from moe_keras.training.state import RandomState, Stateful


class KeepState(keras.callbacks.Callback):
    """A checkpoint per epoch. To be the last of the callbacks.

    Args:
        folder: where the checkpoints are.
        identity: what JSON can hold: all that the training depends on. A
            checkpoint with another identity is refused.
        parts: by name, what to keep; sources of chance are kept anyway.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        parts: Mapping[str, Stateful],
    ):
        super().__init__()
        self._folder, self._identity = folder, dict(identity)
        self._parts = {"random": RandomState(), **parts}
        self._found: Checkpoint | None = None

    def restore(self) -> tuple[int, bool]:
        """Bring everything back from the newest checkpoint, if there is one.

        Returns:
            The epochs that are done, and whether the training had ended.

        Raises:
            ValueError: when the checkpoint is of another training.
            CheckpointError: when none of the checkpoints can be read.
        """
        self._found = read_checkpoint(self._folder)
        if self._found is None:
            return 0, False
        facts = self._found.facts
        require_same(
            "KeepState",
            self._folder,
            facts["identity"],
            self._identity,
            "the checkpoints are of another training; start afresh, or in "
            "another folder.",
        )
        for name in self._parts:
            self._restore_part(name)
        return self._found.epoch, facts["finished"]

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # Again: making the training function may have drawn numbers.
        if self._found is not None and epoch == self._found.epoch:
            self._restore_part("random")

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        arrays: dict[str, np.ndarray] = {}
        facts: dict[str, Any] = {}
        for name, part in self._parts.items():
            found, facts[name] = part.get_state()
            for index, array in enumerate(found):
                arrays[f"{name}/{index:05d}"] = array
        done = epoch + 1
        finished = self.model.stop_training or done >= self.params["epochs"]
        write_checkpoint(
            self._folder,
            Checkpoint(
                done,
                arrays,
                {
                    "identity": self._identity,
                    "finished": bool(finished),
                    "parts": facts,
                },
            ),
        )

    def _restore_part(self, name: str) -> None:
        checkpoint = self._found
        if checkpoint is None or name not in checkpoint.facts["parts"]:
            return
        # Written in this order, and read back in it.
        arrays = [
            array
            for key, array in checkpoint.arrays.items()
            if key.rpartition("/")[0] == name
        ]
        self._parts[name].set_state(arrays, checkpoint.facts["parts"][name])
