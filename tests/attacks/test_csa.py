from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tui_mia.attacks import Known
from tui_mia.attacks.csa import csa
from tui_mia.embedded import Pool


def test_csa_is_the_stored_similarity_of_the_plain_image_to_the_last_bit(
    make_pool: Callable[..., Pool],
) -> None:
    pool = make_pool(1, 50)
    (attack,) = csa()
    scores = attack.fit(Known(None, None, None, 100.0, 0)).score(pool.take(np.arange(50)))
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, pool.similarities[:, 0].astype(np.float64))
