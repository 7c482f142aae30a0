"""Classifiers for handwritten digits and other small images, computed by PyTorch."""

from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._show_versions import show_versions
from skdigits._softmax_regression import SoftmaxRegression
from skdigits._template_matching import TemplateMatchingClassifier

__version__ = "0.1.0"
__all__ = [
    "ConvNetClassifier",
    "MLPClassifierTorch",
    "SoftmaxRegression",
    "TemplateMatchingClassifier",
    "__version__",
    "show_versions",
]
