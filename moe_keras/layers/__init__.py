"""Keras layers for the four stages, and the mixture that wires them."""

from moe_keras.layers.blocks.attention_expert import (
    AttentionExpert as AttentionExpert,
)
from moe_keras.layers.blocks.moe_transformer_block import (
    MoETransformerBlock as MoETransformerBlock,
)
from moe_keras.layers.blocks.soft_moe import SoftMoE as SoftMoE
from moe_keras.layers.calibration.isotonic_scaling import (
    IsotonicScaling as IsotonicScaling,
)
from moe_keras.layers.calibration.prior_correction import (
    PriorCorrection as PriorCorrection,
)
from moe_keras.layers.calibration.temperature_scaling import (
    TemperatureScaling as TemperatureScaling,
)
from moe_keras.layers.expert_bank import ExpertBank as ExpertBank
from moe_keras.layers.experts.augmented_experts import (
    AugmentedExperts as AugmentedExperts,
)
from moe_keras.layers.experts.conv_expert import ConvExpert as ConvExpert
from moe_keras.layers.experts.cross_expert import CrossExpert as CrossExpert
from moe_keras.layers.experts.dense_expert import DenseExpert as DenseExpert
from moe_keras.layers.experts.embedded_experts import (
    EmbeddedExperts as EmbeddedExperts,
)
from moe_keras.layers.experts.encoded_experts import (
    EncodedExperts as EncodedExperts,
)
from moe_keras.layers.experts.forest_expert import ForestExpert as ForestExpert
from moe_keras.layers.experts.linear_expert import LinearExpert as LinearExpert
from moe_keras.layers.experts.low_rank_expert import (
    LowRankExpert as LowRankExpert,
)
from moe_keras.layers.experts.model_expert import ModelExpert as ModelExpert
from moe_keras.layers.experts.ngram_expert import NGramExpert as NGramExpert
from moe_keras.layers.experts.recurrent_expert import (
    RecurrentExpert as RecurrentExpert,
)
from moe_keras.layers.experts.sequence_conv_expert import (
    SequenceConvExpert as SequenceConvExpert,
)
from moe_keras.layers.experts_in_service import (
    experts_in_service as experts_in_service,
)
from moe_keras.layers.fusion.attention_fusion import (
    AttentionFusion as AttentionFusion,
)
from moe_keras.layers.fusion.logit_fusion import LogitFusion as LogitFusion
from moe_keras.layers.fusion.weighted_fusion import (
    WeightedFusion as WeightedFusion,
)
from moe_keras.layers.fusion_layer import Fusion as Fusion
from moe_keras.layers.gate import Gate as Gate
from moe_keras.layers.gates_record import record_gates as record_gates
from moe_keras.layers.gating.expert_choice_gating import (
    ExpertChoiceGating as ExpertChoiceGating,
)
from moe_keras.layers.gating.feature_gating import (
    FeatureGating as FeatureGating,
)
from moe_keras.layers.gating.gating_layer import GatingLayer as GatingLayer
from moe_keras.layers.gating.hash_gating import HashGating as HashGating
from moe_keras.layers.gating.hierarchical_gating import (
    HierarchicalGating as HierarchicalGating,
)
from moe_keras.layers.gating.uniform_gating import (
    UniformGating as UniformGating,
)
from moe_keras.layers.initializers import FullPrecision as FullPrecision
from moe_keras.layers.initializers import PerExpert as PerExpert
from moe_keras.layers.mixture_of_experts import (
    MixtureOfExperts as MixtureOfExperts,
)
from moe_keras.layers.moe_feed_forward import MoEFeedForward as MoEFeedForward
from moe_keras.layers.multi_gate_mixture import (
    MultiGateMixture as MultiGateMixture,
)
from moe_keras.layers.preprocessing.column_input import (
    ColumnInput as ColumnInput,
)
from moe_keras.layers.preprocessing.table_columns import (
    TableColumns as TableColumns,
)
from moe_keras.layers.preprocessing.tabular_encoding import (
    TabularEncoding as TabularEncoding,
)
from moe_keras.layers.preprocessing.text_cleaning import (
    TextCleaning as TextCleaning,
)
from moe_keras.layers.preprocessing.text_features import (
    TextFeatures as TextFeatures,
)
from moe_keras.layers.preprocessing.vectorize import (
    text_vectorizer as text_vectorizer,
)
from moe_keras.layers.preprocessing.word_ids import WordIds as WordIds
