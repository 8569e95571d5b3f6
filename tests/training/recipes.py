"""Recipes that the tests of training share."""

import yaml

SMALL = """
name: small
task: image
data: {name: digits}
builder:
  name: image
  arguments:
    experts: {conv: 3}
    top_k: 2
    stem_filters: 4
    expert_filters: [4]
    dropout: 0.2
augmentation: {crop: 1, flip: true, cutout: 3}
optimizer: {name: adamw, learning_rate: 1e-2, weight_decay: 0.01}
schedule: {name: one_cycle, warmup: 0.3}
loss: {label_smoothing: 0.1}
epochs: 3
batch_size: 64
seeds: [3, 5]
monitor: val_accuracy
"""


def small(**changes):
    """The small recipe as a mapping, with other top-level values."""
    values = yaml.safe_load(SMALL.replace("1e-2", "0.01"))
    return {**values, **changes}
