"""Layers that prepare what experts read."""
