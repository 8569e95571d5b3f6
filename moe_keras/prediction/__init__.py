"""Trained models on files, texts and tables, and which experts decided."""

from moe_keras.prediction.predict import predict_files as predict_files
from moe_keras.prediction.predict import predict_texts as predict_texts
from moe_keras.prediction.prediction import ClassScore as ClassScore
from moe_keras.prediction.prediction import ExpertShare as ExpertShare
from moe_keras.prediction.prediction import Prediction as Prediction
from moe_keras.prediction.score_rows import ScoredRows as ScoredRows
from moe_keras.prediction.score_rows import score_rows as score_rows
from moe_keras.prediction.score_table import TableScores as TableScores
from moe_keras.prediction.score_table import score_table as score_table
from moe_keras.prediction.trained import TrainedModel as TrainedModel
from moe_keras.prediction.trained import as_trained as as_trained
from moe_keras.prediction.trained import load_trained as load_trained
from moe_keras.prediction.trained import reads_tables as reads_tables
