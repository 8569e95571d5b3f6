"""Calibration: probabilities that say how often a model is right."""
