# %% [markdown]
# # Sentiment of reviews: train, watch it in TensorBoard, calibrate, export
#
# `FULL=1` takes IMDB, prepared by TFDS in `MOE_KERAS_DATA_DIR`. Watch with
# `tensorboard --logdir logs` (`pip install "moe_keras[tensorboard]"`).

# %%
import os

import keras
import numpy as np
import tensorflow as tf

from moe_keras.data import load_dataset
from moe_keras.export import export_saved_model
from moe_keras.insight import collect_gates, expert_names
from moe_keras.training import fit_temperature
from moe_keras.zoo import build_sentiment_moe

QUICK, FULL = (bool(os.environ.get(name)) for name in ("QUICK", "FULL"))
EPOCHS = 2 if QUICK or FULL else 10

# %%
keras.utils.set_random_seed(0)
if FULL:
    data = load_dataset("tfds:imdb_reviews")
else:
    data = load_dataset("synthetic_reviews", size=1000 if QUICK else 5000)
# Words, pairs and triples of the whole text and of its end; phrases anywhere.
experts = {"ngram": [{}, {"span": -10}], "conv": 1}
model = build_sentiment_moe(*data.train.arrays, experts=experts)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    *data.train.arrays,
    epochs=EPOCHS,
    validation_data=data.validation.arrays,
    callbacks=[keras.callbacks.TensorBoard("logs")],
)

# %%
print("temperature", fit_temperature(model, data.validation))
test = model.evaluate(*data.test.arrays, return_dict=True)
with tf.summary.create_file_writer("logs/test").as_default():
    for name, value in test.items():
        # As the callback calls them: one chart for the three splits.
        tf.summary.scalar(f"epoch_{name}", value, step=EPOCHS - 1)

# %%
gates = collect_gates(model, data.test.inputs)["gating"]
deciding = np.bincount(gates.argmax(axis=1), minlength=gates.shape[1])
for name, count in zip(expert_names(model)["gating"], deciding, strict=True):
    print(f"{name} decides {count / len(gates):.1%} of the test texts")

# %%
folder = export_saved_model(model, "sentiment_saved_model")
served = tf.saved_model.load(str(folder))
texts = tf.constant(["A moving, clever film!", "The plot was not funny."])
print(served.signatures["serving_default"](texts=texts)["outputs"].numpy())
