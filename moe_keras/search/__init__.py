"""Which experts to keep within a budget."""

from moe_keras.search.select_experts import select_experts as select_experts
from moe_keras.search.selection import Selection as Selection
