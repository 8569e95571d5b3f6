"""What MixtureOfExperts says of itself: its dispatch, and its errors."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    PerExpert,
    RecurrentExpert,
)
from tests.tools import BACKEND, draw, numpy_of


def mixture(top_k=None, **kwargs):
    return MixtureOfExperts(DenseExpert(3, 4), GatingLayer(4, top_k), **kwargs)


def test_auto_is_sorted_where_that_saves_work():
    assert mixture(2).resolve_dispatch() == "sorted"
    assert mixture(4).resolve_dispatch() == "dense"
    assert mixture().resolve_dispatch() == "dense"
    assert mixture(2, dispatch="dense").resolve_dispatch() == "dense"
    assert mixture(dispatch="sorted").resolve_dispatch() == "sorted"


def test_xla_is_off_where_it_cannot_compile():
    assert mixture(2).supports_jit == (BACKEND != "tensorflow")
    moe = mixture(2, dispatch="dense")
    assert moe.supports_jit
    moe.dispatch = "sorted"
    assert moe.supports_jit == (BACKEND != "tensorflow")


def test_parts_are_kept_by_their_config():
    moe = MixtureOfExperts(
        [DenseExpert(3, 2, name="small"), DenseExpert(3, 1, hidden_units=9)],
        GatingLayer(3, top_k=2, name="router"),
        shared=keras.layers.Dense(3, name="always"),
        dispatch="dense",
    )
    twin = MixtureOfExperts.from_config(moe.get_config())
    assert [bank.name for bank in twin.experts] == [
        bank.name for bank in moe.experts
    ]
    assert twin.experts[1].hidden_units == 9
    assert (twin.gate.name, twin.gate.top_k) == ("router", 2)
    assert twin.shared.name == "always"
    assert twin.dispatch == "dense"


def test_positions_have_a_mask_where_they_have_an_output():
    mask, inputs = np.ones((2, 4), bool), draw(2, 4, 5)
    assert mixture().compute_mask(inputs, mask) is mask
    by_sample = MixtureOfExperts(
        DenseExpert(3, 4), GatingLayer(4, level="sample")
    )
    assert by_sample.compute_mask(inputs, mask) is None
    reads_all = MixtureOfExperts(RecurrentExpert(3, 4), GatingLayer(4))
    assert reads_all.compute_mask(inputs, mask) is None
    assert mixture().compute_mask(inputs, None) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MixtureOfExperts([], GatingLayer(2)),
            "`experts` must be one or more banks, such as DenseExpert(64, "
            "num_experts=4); a model",
        ),
        (
            lambda: MixtureOfExperts([keras.layers.Dense(3)], GatingLayer(1)),
            "`experts` must be one or more banks",
        ),
        (
            lambda: MixtureOfExperts(DenseExpert(3, 2), "softmax"),
            "`gate` must be a Keras layer, such as GatingLayer(2). Received: "
            "gate='softmax'",
        ),
        (
            lambda: MixtureOfExperts(DenseExpert(3, 2), GatingLayer(3)),
            "`gate` must have one output for each of the 2 experts. "
            "Received: gate_outputs=3",
        ),
        (
            lambda: mixture(dispatch="fast"),
            "`dispatch` must be one of ('auto', 'dense', 'sorted', 'gather', "
            "'capacity'). Received: dispatch='fast'",
        ),
        (
            lambda: MixtureOfExperts(
                DenseExpert(3, 2), keras.layers.Dense(3)
            ).build((None, 5)),
            "`gate` must have one output for each of the 2 experts. "
            "Received: gate_outputs=3",
        ),
        (
            lambda: mixture(shared=keras.layers.Dense(2)).build((None, 5)),
            "`shared` must return what the experts return. Received: "
            "shared_shape=(None, 2), fused_shape=(None, 3)",
        ),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"^MixtureOfExperts: ") as error:
        make()
    assert message in str(error.value)


def test_per_expert_gives_the_fans_of_one_expert():
    base = keras.initializers.GlorotUniform(seed=3)
    bank = numpy_of(PerExpert(base)((4, 128, 64)))
    limit = np.sqrt(6 / (128 + 64))
    assert np.max(np.abs(bank)) == pytest.approx(limit, rel=0.01)
    again = numpy_of(PerExpert(base)((4, 128, 64)))
    np.testing.assert_array_equal(bank, again)
    assert not np.any(bank[0] == bank[1])


def test_per_expert_goes_on_with_a_seed_generator():
    generator = keras.random.SeedGenerator(3)
    bank = numpy_of(
        PerExpert(keras.initializers.HeNormal(seed=generator))((3, 4, 5))
    )
    assert np.all(bank[0] != bank[1])
    assert np.all(bank[1] != bank[2])


def test_per_expert_keeps_its_config():
    twin = PerExpert.from_config(PerExpert("he_normal").get_config())
    assert isinstance(twin.base, keras.initializers.HeNormal)
    assert PerExpert(PerExpert("zeros")).base.__class__.__name__ == "Zeros"


def test_per_expert_takes_a_function():
    def counting(shape, dtype=None):
        return keras.ops.ones(shape, dtype=dtype)

    np.testing.assert_array_equal(
        numpy_of(PerExpert(counting)((2, 3), dtype="float32")), np.ones((2, 3))
    )
