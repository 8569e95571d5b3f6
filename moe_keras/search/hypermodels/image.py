"""The space of image mixtures."""

from collections.abc import Mapping
from typing import Any

from moe_keras.search.hypermodels.moe_hypermodel import MoEHyperModel
from moe_keras.search.hypermodels.space import Space, chosen, deal

# Of the variant "conv"; all other kinds are of "hetero".
BLOCKS = ("residual", "separable", "mixed")


class ImageMoEHyperModel(MoEHyperModel):
    """Mixtures of `build_image_moe`, variants "hetero" and "conv".

    - `kinds`: of experts, of "hetero", dealt out in turn; or the blocks of
      "conv".
    - `experts`: E; of "conv" in each block that has experts.
    - `top_k`: K; 0 for all. With 1, "hetero" fuses features.
    - `gate`: what has gates of its own, an image or a position (of 1 x 1
      convolutions); "uniform" gives the experts of "hetero" equal weights.
    - `width`: W, of the stem, of recurrent units, of the first stage of "conv".
    - `depth`: blocks of a convolutional expert, of 2W, 4W, ... maps; stages of
      "conv", of W, 2W, ... maps, all but the first of several with experts.
    - `balance_loss`: of a sparse gate; the importance loss of a gate for all.
    - `learning_rate`: its peak.
    """

    task = "image"

    def own_space(self) -> Space:
        return {
            "kinds": ("conv", "recurrent", "conv+recurrent", *BLOCKS),
            "gate": ("image", "position", "uniform"),
            "width": (8, 16, 24, 32, 48),
            "depth": (1, 2, 3),
        }

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        top_k = chosen(values["top_k"], values["experts"])
        if values["kinds"] in BLOCKS:
            return _conv(values, top_k)
        return _hetero(values, top_k)


def _hetero(values: Mapping[str, Any], top_k: int | None) -> dict[str, Any]:
    width, experts = values["width"], values["experts"]
    kinds = deal(experts, values["kinds"].split("+"))
    found: dict[str, Any] = {
        "variant": "hetero",
        "experts": kinds,
        "stem_filters": width,
    }
    if "conv" in kinds:
        filters = [width * 2**block for block in range(1, values["depth"] + 1)]
        found["expert_filters"] = filters
    if "recurrent" in kinds:
        found["recurrent_units"] = width
    if values["gate"] == "uniform":
        return {**found, "gate": "uniform"}
    if top_k is None:
        return {**found, "importance_loss": values["balance_loss"]}
    found |= {
        "top_k": top_k,
        "balance_loss": values["balance_loss"],
        "importance_loss": 0.0,
    }
    if top_k == 1:
        # A cross-entropy over probabilities would cancel the one gate.
        found["fusion"] = "features"
    return found


def _conv(values: Mapping[str, Any], top_k: int | None) -> dict[str, Any]:
    depth, block = values["depth"], values["kinds"]
    by_place = values["gate"] == "position" and block != "residual"
    return {
        "variant": "conv",
        "block": block,
        "level": "position" if by_place else "sample",
        "experts": values["experts"],
        "top_k": top_k or values["experts"],
        "widths": [values["width"] * 2**stage for stage in range(depth)],
        "blocks": [1] * depth,
        "sparse_stages": max(1, depth - 1),
        "expansion": 1.0 if block == "residual" else 2.0,
        "balance_loss": values["balance_loss"],
    }
