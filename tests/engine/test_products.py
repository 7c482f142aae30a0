"""Matrix products of dense layers, by either library, against NumPy in float64."""

from itertools import product as pairs
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skdigits.engine import dense, process
from skdigits.engine.dense import Outer, product, subtract

# Every way in which a matrix of this shape may lie in memory.
LAYOUTS = {
    "rows": lambda rng, m, n: draw(rng, m, n),
    "columns": lambda rng, m, n: draw(rng, n, m).mT,
    "part of rows": lambda rng, m, n: draw(rng, m, n + 5)[..., 2 : n + 2],
    "part of columns": lambda rng, m, n: draw(rng, n + 3, m + 4)[..., 1:-2, 2:-2].mT,
}


def draw(rng, *shape):
    return torch.from_numpy(rng.normal(size=(2, *shape)).astype(np.float32))


def assert_products(found, left, right, bias=0.0):
    """Compare with float64, up to the rounding of so many numbers."""
    left = left.double().numpy()
    right = right.double().numpy()
    bound = np.abs(left) @ np.abs(right) * 1e-6
    assert (
        np.abs(found.double().numpy() - (left @ right + np.asarray(bias))) < bound
    ).all()


@pytest.fixture(params=["oneDNN", "MKL"])
def calls(request, monkeypatch):
    """Choose a library, and count the calls of oneDNN."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch is built without oneDNN")
    seen = []
    linear = torch.ops.mkldnn._linear_pointwise.default

    def counted(*args):
        seen.append(args)
        return linear(*args)

    chosen = counted if request.param == "oneDNN" else None
    monkeypatch.setattr(dense, "onednn_linear", chosen)
    return seen if request.param == "oneDNN" else None


@pytest.mark.parametrize(("one", "other"), list(pairs(LAYOUTS, LAYOUTS)))
def test_matrices_of_any_layout(one, other, rng, calls):
    left = LAYOUTS[one](rng, 120, 200)
    right = LAYOUTS[other](rng, 200, 100)
    assert_products(product(left, right), left, right)
    assert calls is None or len(calls) == 2


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [3, 300])
def test_models_that_share_a_matrix(groups, size, rng, calls):
    left = torch.cat([draw(rng, size, 200), draw(rng, size, 200)])
    right = draw(rng, 200, 50)[:groups]
    bias = torch.cat([draw(rng, size, 1), draw(rng, size, 1)])
    found = product(left, right, bias)
    assert found.shape == (4, size, 50)
    each = right.repeat_interleave(4 // groups, 0)
    assert_products(found, left, each, bias.double())
    # Small products take longer to call than to compute.
    assert calls is None or len(calls) == (groups if size == 300 else 0)


def test_a_bias_of_each_column(rng, calls):
    left = draw(rng, 300, 200)
    right = draw(rng, 200, 50)
    bias = draw(rng, 1, 50)
    assert_products(product(left, right, bias), left, right, bias.double())


def test_float64_stays_with_mkl(rng, calls):
    left = draw(rng, 300, 200).double()
    right = draw(rng, 200, 50).double()
    expected = left.numpy() @ right.numpy()
    np.testing.assert_allclose(product(left, right).numpy(), expected, rtol=1e-12)
    assert not calls


def test_shapes_that_may_not_come_again_are_large(rng, calls):
    left = draw(rng, 300, 200)
    right = draw(rng, 200, 50)
    found = product(left, right, least=dense.ONEDNN_ONCE)
    assert_products(found, left, right)
    assert not calls


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("with_penalty", [False, True])
def test_a_step_along_a_gradient(groups, with_penalty, rng, calls):
    weight = torch.cat([draw(rng, 30, 400), draw(rng, 30, 400)]).double().float()
    delta = torch.cat([draw(rng, 30, 100), draw(rng, 30, 100)])
    inputs = draw(rng, 100, 400)[:groups]
    rate = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(4, 1, 1)
    penalty = (torch.full((4, 1, 1), 0.5), weight) if with_penalty else None

    each = inputs.repeat_interleave(4 // groups, 0).double().numpy()
    gradient = delta.double().numpy() @ each
    if with_penalty:
        gradient = gradient + 0.5 * weight.double().numpy()
    expected = weight.double().numpy() - rate.double().numpy() * gradient

    dense_gradient = Outer(delta, inputs, penalty).to_dense()
    np.testing.assert_allclose(dense_gradient, gradient, atol=1e-4)
    moved = weight.clone()
    if with_penalty:
        penalty = (penalty[0], moved)
    subtract(moved, Outer(delta.clone(), inputs, penalty), rate)
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    assert calls is None or len(calls) == 2 * groups


def test_nan_and_infinity_come_through(calls):
    left = torch.full((1, 300, 200), torch.nan)
    right = torch.ones(1, 200, 50)
    assert product(left, right).isnan().all()
    left.fill_(torch.inf)
    assert (product(left, right) == torch.inf).all()


@pytest.mark.parametrize("maker", ["GenuineIntel", "AuthenticAMD"])
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_mkl_is_left_only_where_it_is_slow(maker, capability, monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor: 0\nvendor_id: {maker}\n", encoding="utf-8")
    monkeypatch.setattr(process, "Path", lambda _: info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    slow = capability == "AVX512" and maker != "GenuineIntel" and known
    assert (process._faster_linear() is not None) == slow

    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert process._faster_linear() is None


def test_the_maker_is_asked_of_python_where_linux_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "Path", lambda _: tmp_path / "none")
    name = "Intel64 Family 6, GenuineIntel"
    monkeypatch.setattr(process.platform, "processor", lambda: name)
    assert process._cpu_is_intels()
    monkeypatch.setattr(process.platform, "processor", lambda: "arm")
    assert not process._cpu_is_intels()


@pytest.mark.parametrize("changed", [TypeError, RuntimeError, None])
def test_an_operation_that_has_changed_is_left_alone(changed, monkeypatch):
    def linear(*args):
        if changed is not None:
            raise changed("other arguments")
        return torch.zeros(2, 2)

    operations = SimpleNamespace(_linear_pointwise=SimpleNamespace(default=linear))
    monkeypatch.setattr(torch.ops, "mkldnn", operations)
    monkeypatch.setattr(process, "_cpu_is_intels", lambda: False)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert process._faster_linear() is None


def test_torch_without_onednn_computes_as_well(monkeypatch, rng):
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    monkeypatch.setattr(process, "_cpu_is_intels", lambda: False)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(dense, "onednn_linear", process._faster_linear())
    left = draw(rng, 300, 200)
    right = draw(rng, 200, 50)
    assert_products(product(left, right), left, right)
    assert dense.onednn_linear is None
