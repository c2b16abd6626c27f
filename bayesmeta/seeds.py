"""Which seed is meant: a whole number, or the next one of a numpy Generator."""

import numpy as np

from bayesmeta.errors import ModelError

type SeedLike = int | np.random.Generator | np.random.SeedSequence | None

LARGEST = 2**64


def check_seed(seed: SeedLike) -> int | None:
    """Return a seed as an int, or None.

    Parameters
    ----------
    seed
        A whole number; or a Generator, which is asked for its next number, and so gives another seed each time.

    Raises
    ------
    ModelError
        If it is no whole number from 0 to 2**64 - 1.
    """
    if seed is None:
        return None
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if isinstance(seed, np.random.SeedSequence):
        return int(seed.generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < LARGEST:
        raise ModelError(f"seed={seed!r}: it must be a whole number from 0 to 2**64 - 1, or a numpy Generator.")
    return int(seed)


def one_seed(seed: SeedLike, random_seed: SeedLike) -> int | None:
    """Return the seed given under either name.

    Raises
    ------
    ModelError
        If both are given, or it is no seed.
    """
    if seed is not None and random_seed is not None:
        raise ModelError("seed= and random_seed= are two names of one thing: give one of them.")
    return check_seed(seed if random_seed is None else random_seed)
