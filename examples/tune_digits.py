# %% [markdown]
# # Which mixture for the digits, at no more than the default's cost

# %%
import os

import keras

from moe_keras.data import load_digits
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Budget, tune
from moe_keras.zoo import build_image_moe

QUICK = bool(os.environ.get("QUICK"))
TRIALS, EPOCHS = (2, 1) if QUICK else (12, 9)
ONLY = {"kinds": ["residual"], "width": [8], "depth": [1]} if QUICK else None

# %%
data = load_digits()
default = build_image_moe((8, 8, 1), 10)
limit = count_multiply_adds(default).active
result = tune(
    "image",
    data,
    Budget(max_multiply_adds=limit),
    max_experts=8,
    only=ONLY,
    method="hyperband",
    trials=TRIALS,
    epochs=EPOCHS,
    limit=200 if QUICK else None,
    out="runs/tune_digits",
)
print(f"{result.rejected} models were above {limit:,.0f} multiply-adds")
for trial in result.front:
    print(
        f"#{trial.number}: validation {trial.score:.4f} nats, "
        f"{trial.multiply_adds:,.0f} multiply-adds, {trial.seconds:.0f} s, "
        f"{trial.epochs} epochs, {trial.values}"
    )

# %% [markdown]
# The default with as many epochs, trained in the same way.

# %%
recipe = result.recipe
keras.utils.set_random_seed(0)
default.compile(
    keras.optimizers.Adam(recipe.optimizer.learning_rate),
    "sparse_categorical_crossentropy",
)
rows = data.train.take(slice(200)) if QUICK else data.train
default.fit(*rows.arrays, recipe.batch_size, EPOCHS, verbose=0)
loss = default.evaluate(*data.validation.arrays, verbose=0)
print(f"default: validation {loss:.4f} nats")
