"""Prebuilt mixture models, uncompiled, and the dense networks to beat."""

from moe_keras.zoo.image import build_image_moe as build_image_moe
from moe_keras.zoo.twins import dense_twin as dense_twin
