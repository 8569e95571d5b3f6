"""Trained models: listed, loaded by name, saved.

A preset is a folder with the architecture, the weights in half precision, and
what is known of them. Loading one runs no code of it.
"""

from moe_keras.zoo.presets.info import FileInfo as FileInfo
from moe_keras.zoo.presets.info import PresetInfo as PresetInfo
from moe_keras.zoo.presets.loading import Preset as Preset
from moe_keras.zoo.presets.loading import from_preset as from_preset
from moe_keras.zoo.presets.loading import list_presets as list_presets
from moe_keras.zoo.presets.loading import load_preset as load_preset
from moe_keras.zoo.presets.saving import save_preset as save_preset
