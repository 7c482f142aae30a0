"""Activation functions of hidden units, with all that other modules need of them.

To add one, enter it in `ACTIVATIONS`: estimators offer it, and the tests check its
derivative, from then on.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor


class Activation(NamedTuple):
    """An activation function and its backward pass.

    ``value`` may overwrite its argument. ``backward`` takes the gradient by the
    *output* and the output itself, and returns the gradient by the input. ``gain`` is
    one over the standard deviation of the output for a standard normal input. ``onnx``
    is the name of the ONNX operator.
    """

    value: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    gain: float
    onnx: str


def _unchanged(gradient: Tensor, output: Tensor) -> Tensor:
    return gradient


ACTIVATIONS = {
    "identity": Activation(torch.positive, _unchanged, 1.0, "Identity"),
    "logistic": Activation(
        torch.sigmoid_, torch.ops.aten.sigmoid_backward, 4.8, "Sigmoid"
    ),
    "tanh": Activation(torch.tanh_, torch.ops.aten.tanh_backward, 1.59, "Tanh"),
    # A threshold takes a quarter of the time of a product with ``output > 0``.
    "relu": Activation(
        torch.relu_,
        partial(torch.ops.aten.threshold_backward, threshold=0),
        1.7139,
        "Relu",
    ),
}
