# %% [markdown]
# # A mixture on digits: train, look at the routing, export

# %%
import os

import keras

from moe_keras.data import load_digits
from moe_keras.export import export_saved_model
from moe_keras.insight import (
    classification_scores,
    collect_gates,
    expert_by_class,
    plot_routing,
)
from moe_keras.zoo import build_image_moe

EPOCHS = 1 if os.environ.get("QUICK") else 30

# %%
keras.utils.set_random_seed(0)
data = load_digits()
model = build_image_moe(
    (8, 8, 1),
    10,
    experts={"conv": 3, "recurrent": 1},
    top_k=2,
    augmentation=0.1,
)
model.compile(
    optimizer=keras.optimizers.Adam(2e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(
    data.train.inputs,
    data.train.labels,
    batch_size=64,
    epochs=EPOCHS,
    validation_data=data.validation.arrays,
)

# %%
print(classification_scores(data.test.labels, model.predict(data.test.inputs)))
gates = collect_gates(model, data.test.inputs)["gating"]
table = expert_by_class(gates, data.test.labels, len(data.classes))
names = ["conv 0", "conv 1", "conv 2", "recurrent 0"]
plot_routing(table, names, data.classes).savefig("experts_by_class.png")

# %%
export_saved_model(model, "digits_saved_model")
