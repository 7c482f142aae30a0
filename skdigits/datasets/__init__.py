"""Loaders of handwritten digits.

`load_mnist` loads the 70,000 digits of MNIST. `read_idx` and `read_image_folder` read
your own digits. For the 1,797 digits that come with scikit-learn, see
`sklearn.datasets.load_digits`.
"""

from skdigits.datasets._idx import read_idx
from skdigits.datasets._image_folder import read_image_folder
from skdigits.datasets._mnist import load_mnist

__all__ = ["load_mnist", "read_idx", "read_image_folder"]
