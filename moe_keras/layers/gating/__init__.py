"""Gating: inputs `(..., D)` -> gates `(..., E)`."""
