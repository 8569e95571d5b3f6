"""Mixture-of-experts layers for Keras, and a zoo of models built from them.

Four stages, in this order, everywhere: **gating** scores the experts for each
row, **dispatch** brings the rows to the chosen experts, the **experts**
compute, **fusion** brings the results back together.
"""

from moe_keras._version import __version__ as __version__
