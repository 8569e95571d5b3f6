"""Preprocessing: layers that make features of what a model is given."""
