# %% [markdown]
# # Breast cancer: a mixture beside logistic regression, on the same test rows
#
# 455 real tumours to learn from, 114 to be judged by; 30 measures of the cell
# nuclei of each. Bad is malignant. It shows an API; it is no medical device.

# %%
import os

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moe_keras.data import load_dataset
from moe_keras.estimators import MoEClassifier
from moe_keras.insight import risk_scores

QUICK = bool(os.environ.get("QUICK"))

# %%
data = load_dataset("breast_cancer")
names = [feature.name for feature in data.schema]


def read(*splits):
    """Malignant is class 0 of the data set, and 1 here."""
    inputs = np.concatenate([split.inputs for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    return pd.DataFrame(inputs, columns=names), 1 - labels


# The mixture keeps rows back by itself: it needs no validation rows.
train, bad = read(data.train, data.validation)
test, bad_there = read(data.test)

# %%
mixture = MoEClassifier(
    forests=[ExtraTreesClassifier(100, min_samples_leaf=2)],
    folds=2 if QUICK else 3,
    epochs=2 if QUICK else 12,
    learning_rate=5e-3,
    batch_size=32,
    random_state=0,
    verbose=1,
)
logistic = make_pipeline(StandardScaler(), LogisticRegression())
scores = {}
for name, model in {"logistic": logistic, "mixture": mixture}.items():
    model.fit(train, bad)
    scores[name] = risk_scores(bad_there, model.predict_proba(test))
print(pd.DataFrame(scores).T.round(4))
