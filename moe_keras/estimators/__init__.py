"""Mixtures as estimators of scikit-learn."""

from moe_keras.estimators.moe_classifier import MoEClassifier as MoEClassifier
