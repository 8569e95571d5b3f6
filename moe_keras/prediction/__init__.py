"""Trained models on files and texts, and which experts decided."""

from moe_keras.prediction.predict import predict_files as predict_files
from moe_keras.prediction.predict import predict_texts as predict_texts
from moe_keras.prediction.prediction import ClassScore as ClassScore
from moe_keras.prediction.prediction import ExpertShare as ExpertShare
from moe_keras.prediction.prediction import Prediction as Prediction
from moe_keras.prediction.trained import TrainedModel as TrainedModel
from moe_keras.prediction.trained import load_trained as load_trained
