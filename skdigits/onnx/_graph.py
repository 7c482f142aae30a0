"""Writing the operators of a graph."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from onnx.helper import np_dtype_to_tensor_dtype

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Scope

# From this opset on, the axes of a reduction are an input instead of an attribute.
AXES_ARE_INPUTS = 18
AXES_OF_SUMS_ARE_INPUTS = 13


class Graph:
    """Writer of operators: ``graph.Add(x, 1.0)`` adds a sum and returns its name.

    Floating-point constants are stored in ``dtype``.
    """

    def __init__(
        self, scope: "Scope", container: "ModelComponentContainer", dtype: np.dtype
    ):
        self.scope = scope
        self.container = container
        self.dtype = dtype

    @cached_property
    def wide(self) -> "Graph":
        """A writer of float64 to the same graph."""
        return Graph(self.scope, self.container, np.dtype(np.float64))

    def __getattr__(self, operator: str) -> Callable[..., str]:
        return partial(self._node, operator)

    def _node(self, operator: str, *inputs: ArrayLike, **attributes: object) -> str:
        output: str = self.scope.get_unique_variable_name(operator.lower())
        attributes["name"] = self.scope.get_unique_operator_name(operator)
        names = [
            value if isinstance(value, str) else self._constant(value)
            for value in inputs
        ]
        self.container.add_node(operator, names, output, **attributes)
        return output

    def _constant(self, constant: ArrayLike) -> str:
        values = np.asarray(constant)
        if values.dtype.kind == "f":
            values = values.astype(self.dtype)
        name: str = self.scope.get_unique_variable_name("constant")
        kind = np_dtype_to_tensor_dtype(values.dtype)
        self.container.add_initializer(name, kind, values.shape, values.ravel())
        return name

    def reduce(self, operator: str, x: str, axis: int, keepdims: bool = True) -> str:
        """Add a reduction along one axis, in any opset."""
        since = AXES_OF_SUMS_ARE_INPUTS if operator == "ReduceSum" else AXES_ARE_INPUTS
        if self.container.target_opset_any_domain("") < since:
            return self._node(operator, x, axes=[axis], keepdims=int(keepdims))
        return self._node(operator, x, np.array([axis]), keepdims=int(keepdims))

    def cast(self, x: str) -> str:
        """Add a cast to the dtype of the graph."""
        return self._node("Cast", x, to=np_dtype_to_tensor_dtype(self.dtype))

    def length(self, x: str, axis: int) -> str:
        """Add the size of a tensor along an axis, a scalar in int64."""
        return self._node("Gather", self._node("Shape", x), np.array(axis))

    def ascending(self, x: str) -> str:
        """Add rows (N, n) with their values sorted."""
        n = self._node("Reshape", self.length(x, 1), np.array([1]))
        unique = self.scope.get_unique_variable_name
        names: list[str] = [unique(one) for one in ("sorted", "places")]
        name = self.scope.get_unique_operator_name("TopK")
        self.container.add_node("TopK", [x, n], names, name=name, largest=0, sorted=1)
        return names[0]
