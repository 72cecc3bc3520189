import numpy as np
import pytest

from aegis.arrays import aligned


@pytest.mark.parametrize("shape", [0, 1, 7, (3, 5), (2, 0, 3), (14, 115, 48)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.uint64])
def test_an_array_begins_at_a_cache_line_and_is_all_ones_own(shape, dtype):
    many = [aligned(shape, dtype) for _ in range(20)]
    for number, array in enumerate(many):
        assert array.size == 0 or array.ctypes.data % 64 == 0
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        array[...] = number % 2
    assert all((array == number % 2).all() for number, array in enumerate(many))
