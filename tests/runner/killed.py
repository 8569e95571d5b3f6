"""The command `moe-keras`, which kills itself at a given moment.

`python -m tests.runner.killed step EPOCH STEP train ...` or
`... save EPOCH _ train ...`: in the middle of writing that epoch's checkpoint;
or `... write NAME COUNT table FILE OUT`: in the middle of writing a file of
this name for this time, counted from 0, of a small `train_table`.
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


def kill_in_write(part, count=0):
    """Half of a file with this in its path is on the disk when it happens."""
    fsync, seen = os.fsync, []

    def stop_in_the_middle(handle):
        name = os.readlink(f"/proc/self/fd/{handle}")
        if part in name and os.path.isfile(name):
            seen.append(name)
            if len(seen) > count:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                kill()
        fsync(handle)

    os.fsync = stop_in_the_middle


def train_small_table(table, out):
    """`train --csv`, with fewer rivals and epochs than it can be given."""
    from moe_keras.cards import train_table
    from moe_keras.training import table_recipe

    table_recipe.INSTALLED = ()
    train_table(table, "risk", "bad", out, folds=2, epochs=1)


if __name__ == "__main__":
    moment, epoch, step, *arguments = sys.argv[1:]
    callbacks = []
    if moment == "save":
        kill_in_write(f"epoch-{int(epoch):06d}")
    elif moment == "write":
        kill_in_write(epoch, int(step))
    elif moment == "step":
        callbacks = [Kill(int(epoch), int(step))]
    moe_keras.runner.train_recipe = functools.partial(
        moe_keras.runner.train_recipe, callbacks=callbacks
    )
    if arguments[0] == "table":
        train_small_table(*arguments[1:])
    else:
        app(arguments)
