# %% [markdown]
# # Twelve experts, and which of them to keep within a budget

# %%
import os

import keras

from moe_keras.data import load_digits
from moe_keras.insight import classification_scores
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
scores = classification_scores(
    data.test.labels, model.predict(data.test.inputs, verbose=0)
)
print(
    f"all 12 experts: {whole:,.0f} multiply-adds, "
    f"test {scores['accuracy']:.1%} right"
)
for greedy, best in zip(found["greedy"], found["exhaustive"], strict=True):
    print(f"at most {greedy.budget:,.0f}")
    for one in (greedy, best):
        scores = classification_scores(
            data.test.labels, one.model.predict(data.test.inputs, verbose=0)
        )
        print(
            f"  {one.method:<10} {one.evaluations:>4} subsets, "
            f"validation {one.loss:.4f} nats, test {scores['accuracy']:.1%} "
            f"right, experts {one.indices}"
        )
found["greedy"][1].plot().savefig("selection.png")
