"""Every public layer, in the configurations that matter, under the contract."""

import inspect

import keras
import pytest

import moe_keras.layers
from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    WeightedFusion,
)
from tests.contract import check_layer
from tests.tools import draw, random_gates

ROWS = draw(24, 5)
SEQUENCES = draw(8, 6, 5)
IMAGES = draw(8, 5, 6, 2)
GATES = random_gates((24, 3))
FEW_GATES = random_gates((8, 2))
POSITION_GATES = random_gates((8, 6, 3))

HOT = "glorot_normal"  # larger than the default, so that no two gates tie

CASES = {
    "gating_all": (GatingLayer, lambda: {"num_experts": 4}, (ROWS,)),
    "gating_top_1": (
        GatingLayer,
        lambda: {"num_experts": 4, "top_k": 1, "kernel_initializer": HOT},
        (ROWS,),
    ),
    "gating_noisy_top_2": (
        GatingLayer,
        lambda: {"num_experts": 4, "top_k": 2, "noisy": True, "seed": 3},
        (SEQUENCES,),
    ),
    "gating_unnormalised": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 3,
            "normalize": False,
            "temperature": 2.0,
            "balance_loss": 0.0,
            "z_loss": 0.0,
            "kernel_initializer": {
                "class_name": "RandomNormal",
                "config": {"seed": 1},
            },
        },
        (SEQUENCES,),
    ),
    "gating_by_sample": (
        GatingLayer,
        lambda: {"num_experts": 3, "top_k": 2, "level": "sample"},
        (SEQUENCES,),
    ),
    "gating_by_position": (
        GatingLayer,
        lambda: {"num_experts": 3, "top_k": 1, "level": "position"},
        (IMAGES,),
    ),
    "dense": (DenseExpert, lambda: {"units": 4}, (ROWS,)),
    "dense_bank": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "hidden_units": 7,
            "activation": "tanh",
            "output_activation": "softmax",
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
            "kernel_regularizer": keras.regularizers.L2(1e-3),
        },
        (SEQUENCES,),
    ),
    "dense_gated": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "dropout": 0.2,
            "use_bias": False,
        },
        (ROWS, GATES),
    ),
    "dense_positions": (
        DenseExpert,
        lambda: {"units": 4, "num_experts": 3, "hidden_units": 6},
        (SEQUENCES, POSITION_GATES),
    ),
    "conv_maps": (
        ConvExpert,
        lambda: {"filters": 3, "num_experts": 2, "pool_size": 2},
        (IMAGES,),
    ),
    "conv_projected": (
        ConvExpert,
        lambda: {
            "filters": [3, 4],
            "num_experts": 2,
            "kernel_size": 2,
            "pooling": "avg",
            "output_units": 3,
            "output_activation": "softmax",
            "dropout": 0.2,
            "activation": "tanh",
            "kernel_regularizer": "l2",
            "kernel_initializer": "glorot_uniform",
        },
        (IMAGES, FEW_GATES),
    ),
    "conv_flat": (
        ConvExpert,
        lambda: {"filters": 3, "pooling": "flatten", "pool_size": 2},
        (IMAGES,),
    ),
    "recurrent": (
        RecurrentExpert,
        lambda: {"units": 3, "num_experts": 2},
        (SEQUENCES,),
    ),
    "recurrent_projected": (
        RecurrentExpert,
        lambda: {
            "units": 3,
            "num_experts": 2,
            "cell": "lstm",
            "bidirectional": True,
            "output_units": 4,
            "output_activation": "softmax",
            "dropout": 0.2,
        },
        (IMAGES, FEW_GATES),
    ),
    "model": (ModelExpert, lambda: {"model": small_model()}, (ROWS,)),
    "model_frozen": (
        ModelExpert,
        lambda: {"model": small_model(), "trainable": False},
        (ROWS, random_gates((24, 1))),
    ),
    "fusion": (WeightedFusion, dict, ([draw(8, 3, 4), random_gates((8, 3))],)),
    "fusion_of_two": (
        WeightedFusion,
        dict,
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "mixture_dense": (
        MixtureOfExperts,
        lambda: {"experts": DenseExpert(4, 3), "gate": GatingLayer(3)},
        (ROWS,),
    ),
    "mixture_top_2": (
        MixtureOfExperts,
        lambda: {
            "experts": DenseExpert(4, 4, hidden_units=6),
            "gate": GatingLayer(4, top_k=2, noisy=True, seed=1),
        },
        (SEQUENCES,),
    ),
    "mixture_top_1_dense": (
        MixtureOfExperts,
        lambda: {
            "experts": [DenseExpert(4, 3)],
            "gate": GatingLayer(3, top_k=1, kernel_initializer=HOT),
            "fusion": WeightedFusion(),
            "shared": keras.layers.Dense(4),
            "dispatch": "dense",
        },
        (ROWS,),
    ),
    "mixture_sorted": (
        MixtureOfExperts,
        lambda: {
            "experts": DenseExpert(4, 3),
            "gate": GatingLayer(3, top_k=2),
            "dispatch": "sorted",
        },
        (ROWS,),
    ),
    "mixture_of_kinds": (
        MixtureOfExperts,
        lambda: {
            "experts": [
                ConvExpert(3, 1, pooling="max", output_units=4),
                RecurrentExpert(3, 2, output_units=4),
            ],
            "gate": GatingLayer(3, top_k=2, kernel_initializer=HOT),
        },
        (draw(24, 4, 4, 2),),
    ),
}


def small_model():
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, activation="tanh")]
    )


@pytest.mark.parametrize("case", CASES)
def test_contract(case):
    layer_class, make_kwargs, inputs = CASES[case]
    check_layer(layer_class, make_kwargs, inputs)


def test_every_public_layer_is_under_the_contract():
    checked = {layer_class for layer_class, _, _ in CASES.values()}
    public = {
        value
        for value in vars(moe_keras.layers).values()
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer)
    }
    abstract = {moe_keras.layers.ExpertBank, moe_keras.layers.Gate}
    assert public - abstract == checked
