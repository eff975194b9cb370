"""The embedded sets: tables that scikit-learn brings along, with their real column names."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rondel.data_manifest import DataManifest, hash_arrays
from rondel_tabular.config import DatasetName

TARGETS: dict[DatasetName, str] = {
    "breast_cancer": "diagnosis",
    "wine": "cultivar",
    "digits": "digit",
    "iris": "species",
    "diabetes": "progression",
}
"""What each set is about."""


def embedded(name: DatasetName) -> tuple[pd.DataFrame, str, DataManifest]:
    """Return an embedded set, the name of its target column and the hash of its arrays."""
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    features, numbers = np.asarray(loaded.data), np.asarray(loaded.target)
    frame = pd.DataFrame(features, columns=[str(column) for column in loaded.feature_names])
    words = [str(word) for word in getattr(loaded, "target_names", ())]
    classes = np.array(words)[numbers] if words and not words[0].isdigit() else numbers
    frame[TARGETS[name]] = classes
    manifest = hash_arrays({"features": features, "target": numbers}, name=name)
    return frame, TARGETS[name], manifest
