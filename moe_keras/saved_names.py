"""Files name our classes `moe_keras>Class`: Keras knows them all, none is read.

Keras builds what a file names only where the class has been registered, that
is imported. Under each name, Keras is given a stand-in that imports the class
when it is used; the class itself takes its place by its `@register`.
"""

from typing import Any

import wrapt

PACKAGE = "moe_keras"
# What is registered, by the module to import; a test compares it with the code.
CLASSES = {
    "moe_keras.layers": (
        "AttentionExpert",
        "AttentionFusion",
        "AugmentedExperts",
        "ColumnInput",
        "ConvExpert",
        "CrossExpert",
        "DenseExpert",
        "EmbeddedExperts",
        "EncodedExperts",
        "ExpertChoiceGating",
        "FeatureGating",
        "ForestExpert",
        "FullPrecision",
        "GatingLayer",
        "HashGating",
        "HierarchicalGating",
        "IsotonicScaling",
        "LinearExpert",
        "LogitFusion",
        "LowRankExpert",
        "MixtureOfExperts",
        "MoEFeedForward",
        "MoETransformerBlock",
        "ModelExpert",
        "MultiGateMixture",
        "NGramExpert",
        "PerExpert",
        "PriorCorrection",
        "RecurrentExpert",
        "SequenceConvExpert",
        "SoftMoE",
        "TableColumns",
        "TabularEncoding",
        "TemperatureScaling",
        "TextCleaning",
        "TextFeatures",
        "UniformGating",
        "WeightedFusion",
        "WordIds",
    ),
    "moe_keras.training": ("RecipeSchedule", "SmoothedCrossEntropy"),
}


def register_names(keras: Any) -> None:
    """Put a stand-in under the name of every class that is not there yet.

    Args:
        keras: the module.
    """
    known = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            known.setdefault(
                f"{PACKAGE}>{name}", wrapt.lazy_import(module, name)
            )


def register_names_with_keras() -> None:
    """The same now, or as soon as Keras has been imported."""
    wrapt.register_post_import_hook(register_names, "keras")
