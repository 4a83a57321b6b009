"""The data set inside the package."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

CITATION = (
    "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998), "
    "doi:10.24432/C50P49; test part, as shipped by scikit-learn (BSD-3-Clause)"
)


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """1,797 handwritten digits: images (1797, 64) with values in [0, 1], and labels (1797,). Source: `CITATION`."""
    with (
        resources.as_file(resources.files("sgdyn") / "data" / "digits8x8.npz") as path,
        np.load(path, allow_pickle=False) as stored,
    ):
        return stored["x"].reshape(-1, 64) / 16.0, stored["y"].astype(np.int64)
