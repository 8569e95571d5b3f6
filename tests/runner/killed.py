"""The command `moe-keras`, which kills itself at a given moment.

`python -m tests.runner.killed step EPOCH STEP train ...` or
`... save EPOCH _ train ...`: in the middle of writing that epoch's checkpoint.
"""

import functools
import os
import signal
import sys

import keras

import moe_keras.runner
from moe_keras.cli import app


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class Kill(keras.callbacks.Callback):
    """Ends the process after a step."""

    def __init__(self, epoch, step):
        super().__init__()
        self.place = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            kill()


def kill_in_save(epoch):
    """Half of the checkpoint of this epoch is on the disk when it happens."""
    fsync = os.fsync

    def stop_in_the_middle(handle):
        name = os.readlink(f"/proc/self/fd/{handle}")
        if f"epoch-{epoch:06d}" in name:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            kill()
        fsync(handle)

    os.fsync = stop_in_the_middle


if __name__ == "__main__":
    moment, epoch, step, *arguments = sys.argv[1:]
    callbacks = []
    if moment == "save":
        kill_in_save(int(epoch))
    elif moment == "step":
        callbacks = [Kill(int(epoch), int(step))]
    moe_keras.runner.train_recipe = functools.partial(
        moe_keras.runner.train_recipe, callbacks=callbacks
    )
    app(arguments)
