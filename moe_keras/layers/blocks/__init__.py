"""Blocks: mixtures that take the place of a part of a Transformer."""
