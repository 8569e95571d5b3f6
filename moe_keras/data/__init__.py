"""Data sets by name, each as one record."""

from moe_keras.data.dataset import Dataset as Dataset
from moe_keras.data.dataset import Split as Split
from moe_keras.data.digits import load_digits as load_digits
