"""The losses and errors of GatingLayer's options."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import GatingLayer
from tests import oracles, oracles_gating
from tests.layers.test_gating_options import QUIET, built, logits_of
from tests.tools import assert_close, draw, numpy_of, weights_by_name


def losses_of(layer, inputs, **kwargs):
    layer(inputs, training=True, **kwargs)
    return [float(numpy_of(loss)) for loss in layer.losses]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("top_p", [None, 0.6])
def test_losses_of_the_options(activation, top_p):
    inputs, mask = draw(3, 4, 4), np.arange(12).reshape(3, 4) % 3 > 0
    layer = built(
        inputs,
        top_k=2,
        activation=activation,
        top_p=top_p,
        balance_loss=1.0,
        z_loss=0.0,
        mutual_information_loss=1.0,
        entropy_loss=1.0,
    )
    switch, information, entropy = losses_of(layer, inputs, mask=mask)
    logits, real = logits_of(layer, inputs.reshape(-1, 4)), mask.reshape(-1)
    gates = oracles_gating.gates(
        logits, top_k=2, activation=activation, top_p=top_p
    )
    shares = [oracles_gating.shares_of(row, activation) for row in logits]
    shares = np.stack(shares)
    assert switch == pytest.approx(
        oracles_gating.switch_balance(shares, gates > 0, real), rel=1e-4
    )
    assert -information == pytest.approx(
        oracles.mutual_information(shares, real), rel=1e-3
    )
    assert entropy == pytest.approx(
        oracles_gating.entropy_loss(shares, real), rel=1e-4
    )


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_load_loss_without_noise_to_speak_of_counts(top_k):
    inputs = draw(9, 4)
    layer = built(inputs, top_k=top_k, noisy=True, load_loss=0.5, **QUIET)
    layer.noise_kernel.assign(np.zeros((4, 5)))
    layer.kernel.assign(1e4 * numpy_of(layer.kernel))
    (loss,) = losses_of(layer, inputs)
    counts = np.zeros(5)
    for row in logits_of(layer, inputs):
        counts[oracles.best(row, top_k)] += 1
    expected = 0.5 * oracles_gating.square_variation(counts)
    assert loss == pytest.approx(expected, rel=1e-3)
    layer(inputs)
    assert layer.losses == []


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_load_loss_is_on_the_scale_of_the_logits(top_k, monkeypatch):
    inputs, mask = draw(3, 4, 4), np.arange(12).reshape(3, 4) % 3 > 0
    layer = built(
        inputs, top_k=top_k, noisy=True, load_loss=1, temperature=0.5, **QUIET
    )
    normal = draw(3, 4, 5, seed=9)
    monkeypatch.setattr(
        keras.random, "normal", lambda *_, **__: ops.convert_to_tensor(normal)
    )
    (loss,) = losses_of(layer, inputs, mask=mask)
    rows = inputs.reshape(-1, 4)
    clean = logits_of(layer, rows)
    noise = rows @ weights_by_name(layer)["noise_kernel"]
    scale = np.log1p(np.exp(noise)) + 0.01
    noisy = clean + normal.reshape(-1, 5) * scale
    odds = oracles_gating.top_k_probability(clean, noisy, scale, top_k)
    expected = oracles_gating.load_loss(odds, mask.reshape(-1))
    assert loss == pytest.approx(expected, rel=1e-4)
    gates = numpy_of(layer(inputs, training=True)).reshape(-1, 5)
    assert_close(gates, oracles_gating.gates(noisy, top_k=top_k))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"activation": "tanh"}, "`activation` must be one of ('softmax', "
         "'sigmoid'). Received: activation='tanh'"),
        ({"scores": "dot"}, "`scores` must be one of ('linear', 'cosine', "
         "'attention'). Received: scores='dot'"),
        ({"order": "top"}, "`order` must be one of ('softmax_top_k', "
         "'top_k_softmax'). Received: order='top'"),
        ({"order": "top_k_softmax", "top_k": 1}, "not `top_k=1`: the softmax "
         "of a single expert is 1 whatever the router says. Received: order="
         "'top_k_softmax', activation='softmax', top_k=1"),
        ({"order": "top_k_softmax", "activation": "sigmoid"}, "needs the "
         "softmax"),
        ({"score_units": 0}, "`score_units` must be an integer above 0. "
         "Received: score_units=0"),
        ({"top_p": 0.0}, "`top_p` must be above 0 and at most 1, or None. "
         "Received: top_p=0.0"),
        ({"top_p": 1.5}, "Received: top_p=1.5"),
        ({"jitter": 1.0}, "`jitter` must be in [0, 1). Received: "
         "jitter=1.0"),
        ({"jitter": -0.1}, "Received: jitter=-0.1"),
        ({"expert_dropout": 1.0}, "`expert_dropout` must be in [0, 1). "
         "Received: expert_dropout=1.0"),
        ({"load_bias": -1}, "`load_bias` must not be negative."),
        ({"load_bias": 0.1}, "`load_bias` needs a `top_k`: it acts on the "
         "choice alone. Received: load_bias=0.1, top_k=None"),
        ({"entropy_loss": -1}, "`entropy_loss` must not be negative."),
        ({"load_loss": -1}, "`load_loss` must not be negative."),
        ({"load_loss": 0.1, "top_k": 2}, "`load_loss` needs `noisy` and a "
         "`top_k` below `num_experts`. Received: load_loss=0.1, noisy=False, "
         "top_k=2"),
        ({"load_loss": 0.1, "noisy": True, "top_k": 4}, "Received: "
         "load_loss=0.1, noisy=True, top_k=4"),
        ({"load_loss": 0.1, "noisy": True, "top_k": 2, "load_bias": 0.1},
         "`load_loss` and `load_bias` do not go together"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^GatingLayer: ") as error:
        GatingLayer(4, **kwargs)
    assert message in str(error.value)
