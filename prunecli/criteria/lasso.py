"""The path of the LASSO: at which penalty each coefficient first leaves zero, from products alone.

minimise ½ βᵀ G β − βᵀ t + α Σ |β_c|
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# A path takes about as many steps as there are coefficients, more when some return to zero.
STEPS = 16


def entry_penalties(products: Floats, target: Floats) -> Floats:
    """The largest α at which each β_c is not zero, 0 for one that is never taken: (F, F), (F,) → (F,)."""
    import numpy as np
    from sklearn.linear_model import lars_path_gram

    size = float(products.diagonal().max(initial=0.0))
    entries = np.zeros(len(target))
    if size <= 0 or not np.abs(target).max(initial=0.0):
        return entries
    with warnings.catch_warnings():
        # A column that is a sum of others is dropped, which is what its score of 0 says.
        warnings.simplefilter("ignore")
        penalties, _, path = lars_path_gram(
            target / size, products / size, n_samples=1, max_iter=STEPS * len(target), method="lasso"
        )
    taken = path != 0
    first = taken.argmax(axis=1)
    found = taken.any(axis=1)
    entries[found] = size * penalties[first[found] - 1]
    return entries
