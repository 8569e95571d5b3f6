"""Spaces of mixtures for keras-tuner: images, sentiment, risk."""

from moe_keras.search.hypermodels.image import (
    ImageMoEHyperModel as ImageMoEHyperModel,
)
from moe_keras.search.hypermodels.moe_hypermodel import (
    MoEHyperModel as MoEHyperModel,
)
from moe_keras.search.hypermodels.risk import (
    RiskMoEHyperModel as RiskMoEHyperModel,
)
from moe_keras.search.hypermodels.sentiment import (
    SentimentMoEHyperModel as SentimentMoEHyperModel,
)

HYPERMODELS: dict[str, type[MoEHyperModel]] = {
    "image": ImageMoEHyperModel,
    "sentiment": SentimentMoEHyperModel,
    "risk": RiskMoEHyperModel,
}
