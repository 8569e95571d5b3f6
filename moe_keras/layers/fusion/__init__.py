"""Fusion: outputs `(..., E, U)` and gates `(..., E)` -> `(..., U)`."""
