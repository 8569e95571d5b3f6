"""Every public layer, in the configurations that matter, under the contract."""

import inspect

import keras
import numpy as np
import pytest

import moe_keras.layers
from moe_keras.layers import (
    AttentionFusion,
    ConvExpert,
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SoftMoE,
    UniformGating,
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

BROKEN = draw(8, 3, 4)  # outputs of experts of which some have failed
BROKEN[2, 1, 3], BROKEN[5, 0, 0], BROKEN[5, 2, :] = np.nan, np.inf, -np.inf

IDS = np.arange(48, dtype="int32").reshape(8, 6)

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
    "gating_sigmoid_load_bias": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "activation": "sigmoid",
            "load_bias": 1e-3,
            "entropy_loss": 0.1,
        },
        (SEQUENCES,),
    ),
    "gating_cosine_top_p": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_p": 0.7,
            "scores": "cosine",
            "score_units": 3,
        },
        (ROWS,),
    ),
    "gating_attention": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "scores": "attention",
            "score_units": 3,
            "order": "top_k_softmax",
            "normalize": False,
        },
        (ROWS,),
    ),
    "gating_all_at_random": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "noisy": True,
            "jitter": 0.1,
            # Rarely more than one, so that there is something to choose.
            "expert_dropout": 0.05,
            "load_loss": 0.1,
            "seed": 1,
        },
        (ROWS,),
    ),
    "gating_uniform": (UniformGating, lambda: {"num_experts": 3}, (IMAGES,)),
    "gating_weighted": (
        UniformGating,
        lambda: {"num_experts": 3, "weights": [1, 0, 2.5]},
        (SEQUENCES,),
    ),
    "gating_hash": (HashGating, lambda: {"num_experts": 3}, (IDS,)),
    "gating_hash_of_a_column": (
        HashGating,
        lambda: {"num_experts": 3, "column": 1, "salt": 4},
        (IDS,),
    ),
    "gating_expert_choice": (
        ExpertChoiceGating,
        lambda: {"num_experts": 4, "kernel_initializer": HOT},
        (ROWS,),
    ),
    "gating_hierarchical": (
        HierarchicalGating,
        lambda: {
            "groups": 2,
            "experts_per_group": 3,
            "top_groups": 1,
            "top_k": 2,
            "kernel_initializer": HOT,
        },
        (SEQUENCES,),
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
    "dense_glu": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "hidden_units": 6,
            "gated": True,
            "activation": "silu",
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
        },
        (ROWS, GATES),
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
            "linear_last": True,
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
    "fusion_dropping": (
        WeightedFusion,
        lambda: {"drop_non_finite": True},
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
    "fusion_linear_pool": (
        LogitFusion,
        dict,
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "fusion_log_pool": (
        LogitFusion,
        lambda: {"pool": "logarithmic", "drop_non_finite": True},
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
    "fusion_attention": (
        AttentionFusion,
        lambda: {"units": 5},
        ([draw(8, 2, 3, 4), draw(8, 1, 3, 4), random_gates((8, 3))],),
    ),
    "fusion_attention_learned": (
        AttentionFusion,
        lambda: {
            "units": 5,
            "query": "learned",
            "kernel_initializer": "he_normal",
            "drop_non_finite": True,
        },
        ([BROKEN, random_gates((8, 3), share=0.2)],),
    ),
    "feed_forward": (
        MoEFeedForward,
        lambda: {"num_experts": 4, "hidden_units": 6},
        (SEQUENCES,),
    ),
    "feed_forward_full": (
        MoEFeedForward,
        lambda: {
            "num_experts": 3,
            "hidden_units": 6,
            "activation": "silu",
            "gated": True,
            "shared_units": 4,
            "residual": True,
            "dropout": 0.2,
            "use_bias": False,
            "dispatch": "dense",
            "gate": GatingLayer(3, 1, level="position", kernel_initializer=HOT),
        },
        (SEQUENCES,),
    ),
    "transformer": (
        MoETransformerBlock,
        lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "num_experts": 3,
            "hidden_units": 6,
            "top_k": None,
            "gated": True,
            "shared_units": 4,
            "causal": True,
            "dropout": 0.2,
        },
        (SEQUENCES,),
    ),
    "transformer_sparse": (
        MoETransformerBlock,
        lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "num_experts": 4,
            "hidden_units": 6,
        },
        (SEQUENCES,),
    ),
    "soft": (
        SoftMoE,
        lambda: {
            "experts": DenseExpert(4, 3, hidden_units=6, activation="gelu"),
            "slots_per_expert": 2,
        },
        (SEQUENCES,),
    ),
    "soft_maps": (
        SoftMoE,
        lambda: {"experts": DenseExpert(4, 2), "kernel_initializer": HOT},
        (IMAGES,),
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
    abstract = {
        moe_keras.layers.ExpertBank,
        moe_keras.layers.Gate,
        moe_keras.layers.Fusion,
    }
    assert public - abstract == checked
