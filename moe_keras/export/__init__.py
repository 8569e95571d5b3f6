"""Models as artefacts that run without this package."""

from moe_keras.export.saved_model import (
    export_saved_model as export_saved_model,
)
from moe_keras.export.saved_model import served_names as served_names
