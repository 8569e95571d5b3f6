"""NaN in pictures and in weights is found, and named, before it is used."""

import keras
import numpy as np
import pytest

from moe_keras.export import export_saved_model
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.training import FiniteWeights, InputPipeline, Stage, fit_stages
from moe_keras.training.finite import (
    require_finite_pictures,
    require_finite_weights,
)
from moe_keras.training.resumable import fit_resumable
from tests.tools import draw, only_tensorflow

IMAGES = np.random.default_rng(0).random((12, 8, 8, 1)).astype("float32")
LABELS = np.arange(12) % 3


def spoilt(value=np.nan):
    images = IMAGES.copy()
    images[7, 3, 4, 0] = value
    return images


def model_of(**kwargs):
    """Convolution, ReLU and pooling in front of a mixture of experts."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D(4)(x)
    x = keras.layers.Flatten()(x)
    x = MixtureOfExperts(
        DenseExpert(3, 2, activation=None), GatingLayer(2), name="moe"
    )(x)
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    model.compile("sgd", "sparse_categorical_crossentropy", **kwargs)
    return model


FOUND = r"row=7, place=\(3, 4, 0\), value=nan"
BROKEN = r"finite weights\. Look for NaN .* weights=\['stem/kernel'"


@pytest.mark.jax
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (spoilt(), FOUND),
        (spoilt(-np.inf), "value=-inf"),
        ({"a": draw(5, 2), "b": spoilt()}, FOUND),
        (spoilt().astype("float16"), FOUND),
        (np.concatenate([np.zeros((2000, 8, 8, 1)), spoilt()]), "row=2007"),
    ],
)
def test_a_picture_with_nan_is_named(inputs, message):
    with pytest.raises(ValueError, match=message) as error:
        require_finite_pictures("owner", inputs)
    assert str(error.value).startswith(
        "owner: the inputs must hold finite numbers only."
    )


def test_a_table_may_hold_nan_where_a_value_is_missing():
    table = np.array([[np.nan, 1.0]])
    require_finite_pictures("owner", [table, IMAGES, np.array(["a"], object)])
    InputPipeline({"x": table[:, 0]}, np.zeros(1), 1, 0)


def test_what_learns_from_pictures_looks_at_them_first(tmp_path):
    with pytest.raises(ValueError, match=f"^InputPipeline: .*{FOUND}"):
        InputPipeline(spoilt(), LABELS, 4, seed=0)
    model = model_of()
    with pytest.raises(ValueError, match=f"^fit_stages: .*{FOUND}"):
        fit_stages(model, (spoilt(), LABELS), [Stage(name="all")])
    batches = InputPipeline(IMAGES, LABELS, 4, seed=0)
    held_out = spoilt(), LABELS
    with pytest.raises(ValueError, match=f"^fit_resumable: .*{FOUND}"):
        fit_resumable(model, batches, held_out, 1, tmp_path, {})


def test_fit_ends_where_the_loss_does_not_show_nan():
    model = model_of()
    with pytest.raises(
        ValueError, match=f"^FiniteWeights: .*{BROKEN}"
    ) as error:
        model.fit(
            spoilt(),
            LABELS,
            epochs=3,
            verbose=0,
            callbacks=[FiniteWeights(), keras.callbacks.TerminateOnNaN()],
        )
    assert "epoch=1" in str(error.value)


def test_a_recipe_keeps_no_state_that_is_broken(tmp_path):
    model = model_of()
    batches = InputPipeline(IMAGES, LABELS, 4, seed=0)
    # As a callback of a user's may, or a rate that is too high.
    spoil = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: model.get_layer(
            "stem"
        ).kernel.assign(np.full((3, 3, 1, 4), np.inf))
    )
    with pytest.raises(ValueError, match=BROKEN):
        fit_resumable(model, batches, None, 2, tmp_path, {}, callbacks=[spoil])
    assert not list(tmp_path.iterdir())


def test_a_stage_ends_too():
    model = model_of()
    data = [(IMAGES, LABELS)]
    spoil = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: model.get_layer(
            "stem"
        ).bias.assign(np.full(4, np.nan))
    )
    with pytest.raises(ValueError, match=r"^FiniteWeights: .*stem/bias"):
        fit_stages(
            model, data[0], [Stage(name="all")], callbacks=[spoil], verbose=0
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_of_every_type(dtype):
    layer = keras.layers.Dense(2, dtype=dtype, name="dense")
    model = keras.Sequential([keras.Input((3,)), layer])
    require_finite_weights("owner", model)
    layer.bias.assign([np.nan, 0.0])
    with pytest.raises(
        ValueError, match=r"^owner: .* weights=\['.*dense/bias'\], number=1"
    ):
        require_finite_weights("owner", model)


def test_a_table_kept_to_the_bit_may_be_infinite():
    layer = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.bias.assign([np.inf, 0.0])
    layer.bias.keep_exact = True
    require_finite_weights("owner", model)


@only_tensorflow
def test_a_broken_model_is_not_exported(tmp_path):
    model = model_of()
    model.get_layer("stem").kernel.assign(np.full((3, 3, 1, 4), np.nan))
    with pytest.raises(ValueError, match=f"^export_saved_model: .*{BROKEN}"):
        export_saved_model(model, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
