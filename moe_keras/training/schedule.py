"""Learning rates over s of S steps, with W steps of warm-up and a peak r.

Warm-up: r (s + 1) / W, and for one cycle a half cosine from r / 25 up to r.
After it, with p = (s - W) / (S - W):

    constant    r
    cosine      r (1 + cos(pi p)) / 2
    one_cycle   a half cosine from r down to r / 250,000
"""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.registration import register

NAMES = ("constant", "cosine", "one_cycle")
# PyTorch's OneCycleLR and fastai start and end here.
START = 1 / 25
END = START / 1e4


@register
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a recipe, step by step.

    Args:
        name: `"constant"`, `"cosine"` or `"one_cycle"`.
        peak: float > 0, the highest rate.
        steps: int > 0. S, all steps of the training.
        warmup: int in [0, steps). W, steps in which the rate rises.

    Source: Loshchilov & Hutter (2017), arXiv:1608.03983, for the cosine; Smith
        & Topin (2018), arXiv:1708.07120, for the one cycle.
    """

    def __init__(self, name: str, peak: float, steps: int, warmup: int = 0):
        owner = "RecipeSchedule"
        require(name in NAMES, owner, f"`name` must be in {NAMES}.", name=name)
        require(peak > 0, owner, "`peak` must be above 0.", peak=peak)
        require(
            is_count(steps), owner, "`steps` must be an int > 0.", steps=steps
        )
        require(
            0 <= warmup < steps,
            owner,
            "`warmup` must be in [0, steps).",
            warmup=warmup,
            steps=steps,
        )
        self.name, self.peak = name, peak
        self.steps, self.warmup = steps, warmup

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        share = (step - self.warmup) / (self.steps - self.warmup)
        share = ops.clip(share, 0.0, 1.0)
        if self.name == "constant":
            after = self.peak * ops.ones_like(step)
        elif self.name == "cosine":
            after = _half_cosine(self.peak, 0.0, share)
        else:
            after = _half_cosine(self.peak, END * self.peak, share)
        if not self.warmup:
            return after
        if self.name == "one_cycle":
            rise = ops.clip(step / self.warmup, 0.0, 1.0)
            before = _half_cosine(START * self.peak, self.peak, rise)
        else:
            before = self.peak * (step + 1) / self.warmup
        return ops.where(step < self.warmup, before, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "peak": self.peak,
            "steps": self.steps,
            "warmup": self.warmup,
        }


def _half_cosine(start: float, end: float, share: Any) -> Any:
    """From `start` at share 0 to `end` at share 1, level at both."""
    return end + (start - end) * (1 + ops.cos(math.pi * share)) / 2
