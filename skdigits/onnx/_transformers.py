"""Image transformers in front of a classifier: one graph from raw images on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto
from skl2onnx import get_model_alias, update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    TensorType,
    UInt8TensorType,
)
from skl2onnx.common.utils import check_input_and_output_numbers

from skdigits._image_shapes import given_shape, shape_of_images
from skdigits._input_checks import check_parameters
from skdigits.onnx._graph import Graph
from skdigits.onnx._images import centre, deskew, normalise, whole
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer
from skdigits.preprocessing._base import ImageTransformer
from skdigits.preprocessing._digit_normalizer import LARGEST_CUT_OUT

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope, Variable

# What graphs express. Other parameters must have the value that turns their step off.
EXPRESSED = {"size", "digit_size", "invert", "threshold", "image_shape", "device"}
OFF: dict[str, object] = {}


def check_expressible(model: ImageTransformer, shape: Sequence[object]) -> None:
    """Refuse a transformer with a step that its graph would leave out.

    A new parameter belongs into `EXPRESSED` once graphs follow it, or into `OFF` with
    the value that turns it off, unless that is False.

    Parameters
    ----------
    model : estimator
        The transformer.
    shape : sequence of int or None
        Height and width of an image, as far as they are known. A clean-up takes no step
        if they are those of a digit that was cut out.

    Raises
    ------
    NotImplementedError
        If a parameter asks for a step that graphs do not express.
    """
    kind = type(model).__name__
    known = [side for side in shape if isinstance(side, int)]
    cut_out = min(known, default=LARGEST_CUT_OUT + 1) <= LARGEST_CUT_OUT
    for name, value in model.get_params(deep=False).items():
        off = OFF.get(name, False)
        if name in EXPRESSED or value == off or (name == "clean_up" and cut_out):
            continue
        raise NotImplementedError(
            f"{kind} has {name}={value!r}, a step that ONNX cannot express for images "
            f"of the declared shape {tuple(shape)}: call set_params({name}={off!r}) of "
            f"it, which needs no new fit, or run {kind} in Python and convert the "
            "steps behind it."
        )


def _reads_pixels(model: ImageTransformer, given: TensorType) -> bool:
    """Return whether a transformer makes uint8 of images of such a type."""
    if isinstance(given, UInt8TensorType):
        return True
    # What integers are, a fit has decided: a graph cannot look at them.
    return "Int" in type(given).__name__ and getattr(model, "_reads_pixels", False)


def _made_type(model: ImageTransformer, given: TensorType) -> type[TensorType]:
    """Return the type of images made from such a type, as in Python."""
    made: type[TensorType] = DoubleTensorType
    if _reads_pixels(model, given):
        made = UInt8TensorType
    elif isinstance(given, FloatTensorType):
        made = FloatTensorType
    return made


def _parse(
    scope: "Scope",
    model: ImageTransformer,
    inputs: "list[Variable]",
    custom_parsers: dict[type, object] | None = None,
) -> "list[Variable]":
    """Declare the images that are made, in their own type: uint8 stays uint8."""
    operator = scope.declare_local_operator(get_model_alias(type(model)), model)
    for variable in inputs:
        operator.inputs.append(variable)
    made = _made_type(model, inputs[0].type)
    operator.outputs.append(scope.declare_local_variable("images", made()))
    found: list[Variable] = list(operator.outputs)
    return found


def _n_pixels(operator: "Operator") -> int | None:
    """Return the number of pixels of an image, or None if it is not known.

    Raises
    ------
    ValueError
        If the input is neither rows nor images, or has other pixels than in fit.
    """
    model = operator.raw_operator
    name = type(model).__name__
    sizes = list(operator.inputs[0].type.shape)[1:]
    if len(sizes) not in (1, 2):
        raise ValueError(
            f"{name} reads rows (n, h * w) or images (n, h, w), but the input of the "
            f"graph has shape {operator.inputs[0].type.shape}: pass initial_types such "
            "as [('X', UInt8TensorType([None, None, None]))]."
        )

    fitted = getattr(model, "n_features_in_", None)
    known = all(isinstance(size, int) for size in sizes)
    found = int(np.prod(sizes)) if known else fitted
    any_size = len(sizes) == 2 and model._any_size
    if fitted not in (None, found) and not any_size:
        raise ValueError(
            f"The input of the graph has {found} pixels an image, but {name} is "
            f"expecting {fitted} features as input: declare the shape of the images "
            "that it was fitted to."
        )
    return found


def _set_shapes(operator: "Operator") -> None:
    """Set the type and shape (N, pixels) of the images that are made."""
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=1)
    found = _n_pixels(operator)
    variable = operator.inputs[0]
    model = operator.raw_operator
    n_out = None
    if isinstance(model, DigitNormalizer) or found is not None:
        n_out = model._n_out(found)
    made = _made_type(model, variable.type)
    operator.outputs[0].set_type(made([variable.get_first_dimension(), n_out]))


def _shape(operator: "Operator") -> list[int | None]:
    """Return height and width of the images, None where they may differ.

    Raises
    ------
    ValueError
        If the input has rows, and neither it nor the transformer says their length.
    """
    variable = operator.inputs[0]
    sizes = list(variable.type.shape)[1:]
    n_pixels = _n_pixels(operator)
    if len(sizes) == 2:
        return [size if isinstance(size, int) else None for size in sizes]

    model = operator.raw_operator
    if model.image_shape is not None:
        return list(given_shape(model.image_shape, grey=True)[:2])
    if n_pixels is not None:
        return list(shape_of_images(None, n_pixels, grey=True)[:2])
    raise ValueError(
        f"The input of the graph has shape {variable.type.shape}, and "
        f"{type(model).__name__} was not fitted to rows: pass initial_types with "
        "the number of pixels, such as [('X', UInt8TensorType([None, 784]))], or "
        "set image_shape=(height, width)."
    )


def _images(graph: Graph, operator: "Operator", shape: list[int | None]) -> str:
    """Add the images (N, h, w) of an input, as floats to compute with."""
    variable = operator.inputs[0]
    images = graph.cast(variable.full_name)
    if _reads_pixels(operator.raw_operator, variable.type):
        images = graph.Div(images, 255.0)
    if len(variable.type.shape) == 3:
        return images
    return graph.Reshape(images, np.array([-1, *shape]))


def _made(graph: Graph, model: ImageTransformer, images: str) -> str:
    """Add what a transformer makes of images."""
    if not isinstance(model, DigitNormalizer):
        return (deskew if isinstance(model, Deskew) else centre)(graph, images)
    return normalise(graph, images, **model._settings())


def _convert(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> None:
    """Add the graph of an image transformer to a container."""
    model = operator.raw_operator
    check_parameters(model)
    shape = _shape(operator)
    check_expressible(model, shape)
    given = operator.inputs[0].type
    narrow = isinstance(given, FloatTensorType)
    graph = Graph(scope, container, np.dtype(np.float32 if narrow else np.float64))

    made = graph.Flatten(_made(graph, model, _images(graph, operator, shape)))
    name = operator.outputs[0].full_name
    if _reads_pixels(model, given):
        levels = whole(graph, graph.Mul(made, 255.0))
        container.add_node("Cast", levels, name, to=TensorProto.UINT8)
    else:
        container.add_node("Identity", made, name)


def register_transformers() -> None:
    """Teach skl2onnx the image transformers of skdigits."""
    for Transformer in (DigitNormalizer, Deskew, CenterByMass):
        update_registered_converter(
            Transformer,
            f"Skdigits{Transformer.__name__}",
            _set_shapes,
            _convert,
            parser=_parse,
        )
