"""Searches without trainings: what they are given, and what was asked."""

import random

import pytest

import moe_keras.search.hypermodels.moe_hypermodel as hypermodels
from moe_keras.search import ModelCost
from tests.search.tuning import tiny_digits


@pytest.fixture
def data():
    return tiny_digits()


@pytest.fixture
def trained(monkeypatch):
    """What was trained; scores are drawn by configuration and seed.

    Costs are made up too, so that no model is built.
    """
    asked = []

    def cost(self, values):
        experts = values["experts"]
        chosen = min(values["top_k"] or experts, experts)
        return ModelCost(
            multiply_adds=1000.0 * chosen,
            parameters=1000 * experts + chosen,
            latency_ms=1.5
            if self.budget and self.budget.max_latency_ms
            else None,
        )

    def train(self, values, folder, seed=0, epochs=None, callbacks=()):
        key = self.key(values)
        asked.append((key, seed, epochs))
        rng = random.Random(f"{key} {seed}")
        return {
            "accuracy": rng.random(),
            "log_loss": rng.random(),
            "ece": 0.1,
            "active_multiply_adds": self.cost(values).multiply_adds,
            "parameters": self.cost(values).parameters,
            "epochs": epochs or self.base.epochs,
            "train_seconds": 2.0,
        }

    monkeypatch.setattr(hypermodels.MoEHyperModel, "train", train)
    monkeypatch.setattr(hypermodels.MoEHyperModel, "cost", cost)
    return asked
