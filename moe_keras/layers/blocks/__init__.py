"""Blocks: mixtures in a part of a Transformer, and experts made of them."""
