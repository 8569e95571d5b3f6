"""Sentiment models: raw strings in, probabilities of classes out."""

from moe_keras.zoo.sentiment.builder import (
    build_sentiment_moe as build_sentiment_moe,
)
