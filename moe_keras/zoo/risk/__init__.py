"""Risk models: raw columns of a table in, probabilities of being bad out."""

from moe_keras.zoo.risk.builder import build_risk_moe as build_risk_moe
