"""What the arguments of a `GatingLayer` must be."""

from typing import Any

from moe_keras.errors import is_count, is_number, require, require_rates
from moe_keras.layers.router_losses import check_coefficients
from moe_keras.layers.router_scores import SCORES
from moe_keras.ops.gating import ACTIVATIONS, ORDERS

OWNER = "GatingLayer"


def check_router(layer: Any) -> None:
    """Refuse arguments that are wrong, alone or together."""
    _check_numbers(layer)
    _check_names(layer)
    _check_together(layer)


def _check_numbers(layer: Any) -> None:
    require(
        is_number(layer.temperature) and layer.temperature > 0,
        OWNER,
        "`temperature` must be above 0.",
        temperature=layer.temperature,
    )
    require(
        is_count(layer.score_units),
        OWNER,
        "`score_units` must be an integer above 0.",
        score_units=layer.score_units,
    )
    require(
        layer.top_p is None
        or (is_number(layer.top_p) and 0 < layer.top_p <= 1),
        OWNER,
        "`top_p` must be above 0 and at most 1, or None.",
        top_p=layer.top_p,
    )
    require_rates(
        OWNER, jitter=layer.jitter, expert_dropout=layer.expert_dropout
    )
    coefficients = (
        "balance_loss",
        "z_loss",
        "importance_loss",
        "mutual_information_loss",
        "load_bias",
        "entropy_loss",
        "load_loss",
    )
    check_coefficients(
        OWNER, **{name: getattr(layer, name) for name in coefficients}
    )


def _check_names(layer: Any) -> None:
    names = {"activation": ACTIVATIONS, "scores": SCORES, "order": ORDERS}
    for name, known in names.items():
        value = getattr(layer, name)
        require(
            value in known,
            OWNER,
            f"`{name}` must be one of {tuple(known)}.",
            **{name: value},
        )


def _check_together(layer: Any) -> None:
    require(
        not layer.noisy or layer.top_k is not None,
        OWNER,
        "`noisy` needs a `top_k`: without a choice, nothing is explored.",
        noisy=layer.noisy,
        top_k=layer.top_k,
    )
    require(
        not layer.load_bias or layer.top_k is not None,
        OWNER,
        "`load_bias` needs a `top_k`: it acts on the choice alone.",
        load_bias=layer.load_bias,
        top_k=layer.top_k,
    )
    require(
        layer.order == "softmax_top_k"
        or (layer.activation == "softmax" and layer.top_k != 1),
        OWNER,
        "`order='top_k_softmax'` needs the softmax, and not `top_k=1`: the "
        "softmax of a single expert is 1 whatever the router says.",
        order=layer.order,
        activation=layer.activation,
        top_k=layer.top_k,
    )
    require(
        not layer.load_loss
        or (layer.noisy and layer.choices < layer.num_experts),
        OWNER,
        "`load_loss` needs `noisy` and a `top_k` below `num_experts`.",
        load_loss=layer.load_loss,
        noisy=layer.noisy,
        top_k=layer.top_k,
    )
    require(
        not (layer.load_loss and layer.load_bias),
        OWNER,
        "`load_loss` and `load_bias` do not go together: with the bias, the "
        "choice is not made on the scale of the noise.",
        load_loss=layer.load_loss,
        load_bias=layer.load_bias,
    )


def kept_router(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which `top_k` is less than it was, made sound.

    What no longer goes with it acts on a choice that is not made any more.
    """
    if config["top_k"] == 1:
        # Of a single expert both orders give 1.
        config["order"] = "softmax_top_k"
    if config["top_k"] == config["num_experts"]:
        config["load_loss"] = 0.0
    if config["bias_initializer"] is not None:
        # It may name a value for each of the experts that there were.
        config["bias_initializer"] = "zeros"
    return config
