"""Image classifiers: one builder, four variants."""

from moe_keras.zoo.image.builder import build_image_moe as build_image_moe
