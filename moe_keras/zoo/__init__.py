"""Mixture models, new or trained, and the dense networks to beat."""

from moe_keras.zoo.image import build_image_moe as build_image_moe
from moe_keras.zoo.presets import FileInfo as FileInfo
from moe_keras.zoo.presets import Preset as Preset
from moe_keras.zoo.presets import PresetInfo as PresetInfo
from moe_keras.zoo.presets import from_preset as from_preset
from moe_keras.zoo.presets import list_presets as list_presets
from moe_keras.zoo.presets import load_preset as load_preset
from moe_keras.zoo.presets import save_preset as save_preset
from moe_keras.zoo.risk import build_risk_moe as build_risk_moe
from moe_keras.zoo.sentiment import build_sentiment_moe as build_sentiment_moe
from moe_keras.zoo.twins import dense_twin as dense_twin
