# %% [markdown]
# # Two targets of one loan: a multi-gate mixture beside two single models
#
# Made-up loans with two known chances: of default, and of being paid back
# early, which is likelier where a default is not. Of most loans, as
# of young ones, it is not known yet whether they will be paid early.

# %%
import os

import keras
import numpy as np
import pandas as pd

from moe_keras.data import load_dataset
from moe_keras.insight import risk_scores
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.schema import infer_schema
from moe_keras.zoo import build_risk_moe

QUICK = bool(os.environ.get("QUICK"))
TARGETS = ["default", "early_payment"]
UNKNOWN = -1

# %%
data = load_dataset("synthetic_credit", size=1000 if QUICK else 7000)


def draw(split, seed):
    """The table, the true chances and the labels of a split, by target."""
    table = pd.DataFrame(split.inputs)
    default = split.probability
    logit = 0.5 - 0.7 * np.log(default / (1 - default))
    logit += 1.2 * (table["savings"] == "high") - 0.03 * table["term_months"]
    early = 1 / (1 + np.exp(-logit.to_numpy()))
    drawn = np.random.default_rng(seed).random(len(table)) < early
    return (
        table,
        {"default": default, "early_payment": early},
        {"default": split.labels, "early_payment": drawn.astype("int64")},
    )


table, _, labels = draw(data.train, 1)
known = np.random.default_rng(3).random(len(table)) < 0.15
labels["early_payment"] = np.where(known, labels["early_payment"], UNKNOWN)
test, truth, outcomes = draw(data.test, 2)
schema = infer_schema(table, target=None)


# %%
def train(targets, sharing="mmoe", seed=0):
    """A model of these targets; rows without a label count for the others."""
    keras.utils.set_random_seed(seed)
    model = build_risk_moe(
        schema, table, {"dense": 4}, targets=targets, sharing=sharing, bins=16
    )
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=UNKNOWN)
    model.compile(keras.optimizers.Adam(4e-3), dict.fromkeys(targets, loss))
    model.fit(
        schema.check(table),
        {name: labels[name] for name in targets},
        batch_size=256,
        epochs=1 if QUICK else 5,
        verbose=0,
    )
    return model


def train_all(seed=0):
    """By name, one model for both targets, or one for each."""
    return {
        "alone": [train([name], seed=seed) for name in TARGETS],
        "mmoe": [train(TARGETS, "mmoe", seed)],
        "ple": [train(TARGETS, "ple", seed)],
    }


# %%
def score(chances):
    """The scores by target, of chances of two classes or of the second."""
    return {
        (target, name): risk_scores(outcomes[target], chances[target])[name]
        for target in TARGETS
        for name in ("auc", "log_loss")
    }


def judge(parts):
    """What models score together on the test rows, and cost."""
    found = {}
    for part in parts:
        chances = part(schema.check(test), training=False)
        found |= {key: np.asarray(value) for key, value in chances.items()}
    costs = [count_multiply_adds(part).active for part in parts]
    return {**score(found), ("both", "multiply-adds"): sum(costs)}


rows = {name: judge(parts) for name, parts in train_all().items()}
rows["true chances"] = score(truth)
print(pd.DataFrame(rows).T.round(4).to_string())
print(f"{known.sum()} of {len(table)} rows say whether they were paid early")
