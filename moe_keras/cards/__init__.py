"""What a preset is worth: comparisons, results, model cards."""

from moe_keras.cards.card import write_card as write_card
from moe_keras.cards.comparison import Comparison as Comparison
from moe_keras.cards.comparison import compare_recipe as compare_recipe
from moe_keras.cards.judging import Judged as Judged
from moe_keras.cards.publish import publish_recipe as publish_recipe
from moe_keras.cards.publish_outside import publish_outside as publish_outside
from moe_keras.cards.table_run import TableRun as TableRun
from moe_keras.cards.table_run import train_table as train_table
from moe_keras.cards.zoo_table import write_cards as write_cards
from moe_keras.cards.zoo_table import zoo_table as zoo_table
