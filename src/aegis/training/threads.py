"""One thread inside, whatever the machine has: the same bits on one core and on many.

A linear-algebra library that splits a product over its threads adds in another order, so results
would depend on the number of cores. Hospitals are parallel in the stack, not inside a product.
Only one training runs at a time in a process: the number of threads belongs to all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

_LOCK = RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """NumPy's linear algebra runs on one thread inside; afterwards the old number is back."""
    with _LOCK, _numpy_pools().limit(limits=1):
        yield


@cache
def _numpy_pools() -> Any:
    import numpy as np
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    np.zeros((2, 2)) @ np.zeros((2, 2))  # the library must be loaded before it can be found
    return ThreadpoolController().select(user_api="blas")
