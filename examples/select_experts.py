# %% [markdown]
# # Twelve experts, and which of them to keep within a budget

# %%
import os

import keras

from moe_keras.data import load_digits
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import select_experts

EPOCHS = 5 if os.environ.get("QUICK") else 20

# %%
keras.utils.set_random_seed(0)
data = load_digits()
images = keras.Input((8, 8, 1))
pixels = keras.layers.Flatten()(images)
# In training experts are often out of service, so that others can do without.
mixture = MixtureOfExperts(
    DenseExpert(10, 12, hidden_units=8),
    GatingLayer(12, expert_dropout=0.5),
    LogitFusion(),
    name="moe",
)
outputs = keras.layers.Softmax()(mixture(pixels))
model = keras.Model(images, outputs)
model.compile(
    keras.optimizers.Adam(5e-3),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(*data.train.arrays, batch_size=64, epochs=EPOCHS, verbose=0)

# %%
whole = count_multiply_adds(model).active
budgets = [share * whole for share in (0.2, 0.4, 0.6, 0.8)]
found = {
    method: select_experts(model, data.validation, budgets, method=method)
    for method in ("greedy", "exhaustive")
}


# %%
def share_right(model):
    """Of the test images."""
    predicted = keras.ops.argmax(model(data.test.inputs), axis=-1)
    return (keras.ops.convert_to_numpy(predicted) == data.test.labels).mean()


print(f"{whole:,.0f} multiply-adds, test {share_right(model):.1%} right")
for greedy, best in zip(found["greedy"], found["exhaustive"], strict=True):
    print(f"at most {greedy.budget:,.0f}")
    for one in (greedy, best):
        print(
            f"  {one.method:<10} {one.evaluations:>4} subsets, "
            f"validation {one.loss:.4f} nats, "
            f"test {share_right(one.model):.1%} right, experts {one.indices}"
        )
found["greedy"][1].plot().savefig("selection.png")
