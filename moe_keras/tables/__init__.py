"""Tables in files and in memory: cells, columns, and what they hold."""

from moe_keras.tables.notation import MISSING as MISSING
from moe_keras.tables.notation import Notation as Notation
