"""Mixture-of-experts layers for Keras, and a zoo of models built from them.

Four stages, in this order, everywhere: **gating** scores the experts for each
row, **dispatch** brings the rows to the chosen experts, the **experts**
compute, **fusion** brings the results back together.

`import moe_keras` is all that `keras.models.load_model` needs to read a file
with layers of ours. It imports neither Keras nor a backend: the subpackages,
such as `moe_keras.layers`, are imported when they are first used.
"""

import importlib
from types import ModuleType

from moe_keras._version import __version__ as __version__
from moe_keras.saved_names import register_names_with_keras

_PARTS = (
    "cards",
    "data",
    "demo",
    "estimators",
    "export",
    "forests",
    "insight",
    "layers",
    "lifecycle",
    "losses",
    "ops",
    "prediction",
    "runner",
    "schema",
    "search",
    "training",
    "zoo",
)


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})


register_names_with_keras()
