"""Which mixture to train, and which of its experts to keep, within a budget.

Needs for the former keras-tuner, which `pip install moe_keras[search]` brings.
"""

from moe_keras.search.budget import Budget as Budget
from moe_keras.search.budget import ModelCost as ModelCost
from moe_keras.search.pareto import pareto_front as pareto_front
from moe_keras.search.pareto import plot_pareto as plot_pareto
from moe_keras.search.select_experts import select_experts as select_experts
from moe_keras.search.selection import Selection as Selection
from moe_keras.search.trials import SearchResult as SearchResult
from moe_keras.search.trials import Trial as Trial
from moe_keras.search.tune import tune as tune
