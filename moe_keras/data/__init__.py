"""Data sets by name, each as one record."""

from moe_keras.data.breast_cancer import (
    load_breast_cancer as load_breast_cancer,
)
from moe_keras.data.dataset import Dataset as Dataset
from moe_keras.data.dataset import Feature as Feature
from moe_keras.data.digits import load_digits as load_digits
from moe_keras.data.folds import fold_of as fold_of
from moe_keras.data.load import list_datasets as list_datasets
from moe_keras.data.load import load_dataset as load_dataset
from moe_keras.data.split import Split as Split
from moe_keras.data.synthetic_credit import (
    load_synthetic_credit as load_synthetic_credit,
)
from moe_keras.data.synthetic_reviews import (
    load_synthetic_reviews as load_synthetic_reviews,
)
from moe_keras.data.table import load_table as load_table
from moe_keras.data.table_schema import (
    infer_table_schema as infer_table_schema,
)
from moe_keras.data.text_array import text_array as text_array
