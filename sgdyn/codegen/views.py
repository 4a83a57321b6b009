"""Arrays without a reference count: the atomic additions to it, two for every array and call, would cost as much as a step of a block."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic
def borrowed(context: Any, owners: Any) -> Any:
    """The same tuple of arrays, uncounted: valid as long as the owners are in use (see `keep`)."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        views = []
        for i, array in enumerate(owners):
            view = inner.make_array(array)(inner, builder, builder.extract_value(values[0], i))
            view.meminfo, view.parent = view.meminfo.type(None), view.parent.type(None)
            views.append(view._getvalue())
        return inner.make_tuple(builder, owners, views)

    return owners(owners), lower


@intrinsic
def keep(context: Any, owners: Any) -> Any:
    """Nothing, but the owners are in use until here."""
    return types.void(owners), lambda inner, builder, sig, values: inner.get_dummy_value()


@intrinsic
def rows_of(context: Any, matrix: Any, begin: Any, end: Any) -> Any:
    """`matrix[begin:end]` of a C-contiguous matrix, uncounted; not bounds-checked."""

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        whole = inner.make_array(matrix)(inner, builder, values[0])
        columns = builder.extract_value(whole.shape, 1)
        part = inner.make_array(matrix)(inner, builder)
        data = builder.gep(whole.data, [builder.mul(values[1], columns)])
        shape = [builder.sub(values[2], values[1]), columns]
        populate_array(part, data=data, shape=shape, strides=whole.strides, itemsize=whole.itemsize, meminfo=None)
        return part._getvalue()

    return matrix(matrix, types.int64, types.int64), lower


@intrinsic
def plane_of(context: Any, cube: Any, index: Any) -> Any:
    """`cube[index]` of a C-contiguous array of three dimensions, uncounted; not bounds-checked."""
    plane = cube.copy(ndim=2)

    def lower(inner: Any, builder: Any, sig: Any, values: Any) -> Any:
        whole = inner.make_array(cube)(inner, builder, values[0])
        part = inner.make_array(plane)(inner, builder)
        shape, strides = (
            [builder.extract_value(all_three, i) for i in (1, 2)] for all_three in (whole.shape, whole.strides)
        )
        data = builder.gep(whole.data, [builder.mul(values[1], builder.mul(*shape))])
        populate_array(part, data=data, shape=shape, strides=strides, itemsize=whole.itemsize, meminfo=None)
        return part._getvalue()

    return plane(cube, types.int64), lower
