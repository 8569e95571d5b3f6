"""A tiny model of texts, as a preset."""

import keras

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    text_vectorizer,
)
from moe_keras.zoo import save_preset
from tests.tools import randomize
from tests.zoo.presets.tiny import METADATA

WORDS = ["good", "film", "not", "bad", "n't", "!", "a"]
CLASSES = ["negative", "positive"]


def text_model(units=2, shape=()):
    """A model whose predictions differ from text to text."""
    clean, ids = text_vectorizer(vocabulary=WORDS)
    texts = keras.Input(shape, dtype="string", name="texts")
    embed = keras.layers.Embedding(ids.vocabulary_size(), 6, mask_zero=True)
    # Padding must not count, and a text without words must not divide by 0.
    x = keras.layers.GRU(6)(embed(ids(clean(texts))))
    gate = GatingLayer(3, top_k=2, name="gate")
    x = MixtureOfExperts(DenseExpert(5, 3), gate, name="moe")(x)
    activation = "sigmoid" if units == 1 else "softmax"
    outputs = keras.layers.Dense(units, activation)(x)
    return randomize(keras.Model(texts, outputs), scale=1.5)


def save_text_preset(folder, task="sentiment", units=2):
    values = {**METADATA, "task": task, "classes": CLASSES}
    # They depend on the length of a text.
    values["multiply_adds"] = {"active": 1000, "total": 1000}
    model = text_model(units)
    save_preset(model, folder, values)
    return model
