"""What is copied to the device, counted by the line that asks for it."""

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda

from skdigits import MLPClassifierTorch
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift
from skdigits.engine import distortions


def copied_by(device, module):
    return sum(n for place, n in device.copies.items() if place.startswith(module))


@pytest.mark.parametrize(
    ("augment", "most"),
    [(RandomShift(), 0), (RandomAffine(), 0), (RandomElastic(), 1)],
    ids=["shift", "affine", "elastic"],
)
def test_distortions_copy_constants_once(augment, most, digits):
    """For 27 batches as for one; the device is another one in each fit."""
    distortions._sides.cache_clear()
    model = MLPClassifierTorch(
        3, batch_size=10, max_iter=3, tol=None, augment=augment, random_state=0
    )
    with fake_cuda(2) as device:
        for number in (0, 1):
            device.copies.clear()
            model.set_params(device=f"cuda:{number}")
            model.fit(digits[0][:90], digits[1][:90])
            assert copied_by(device, "engine/distortions.py") == most
        device.copies.clear()
        model.fit(digits[0][:90], digits[1][:90])
        assert copied_by(device, "engine/distortions.py") == 0


def test_constants_that_are_kept_serve_autograd(digits):
    """Made in a fit, which computes in inference mode, they are used in a gradient."""
    distortions._gaussian.cache_clear()
    distortions._sides.cache_clear()
    images = torch.from_numpy(digits[0][:4].reshape(4, 1, 8, 8))
    change = RandomElastic(sigma=3)
    with torch.inference_mode():
        expected = change(images, torch.Generator().manual_seed(0))
    leaf = images.clone().requires_grad_()
    found = change(leaf, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(found.detach(), expected)
    (slope,) = torch.autograd.grad((found * found.detach()).sum(), leaf)
    # The distortion is linear: <J x, J x> = <x, Jᵀ J x>.
    torch.testing.assert_close((slope * images).sum(), (found.detach() ** 2).sum())
