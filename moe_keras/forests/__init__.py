"""Fitted ensembles of decision trees, read into arrays.

One file per library; none of them is imported before one of its models is read.
"""

from moe_keras.forests.read import read_forest as read_forest
from moe_keras.forests.tables import ForestTables as ForestTables
from moe_keras.forests.tables import pack_forest as pack_forest
