"""The fake device raises what CUDA raises, counts reads and copies, and computes."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda

CPU = torch.device("cpu")
HERE = torch.device("cuda:0")


@pytest.fixture
def device():
    with fake_cuda(2) as device:
        yield device


def test_torch_finds_the_devices_within_the_block_only():
    before = torch.cuda.is_available(), torch.cuda.device_count(), torch.Generator
    with fake_cuda(3):
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 3
        assert torch.ones(1, device="cuda:2").device == torch.device("cuda:2")
        kept = torch.ones(1, device="cuda")
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.ones(1, device="cuda:3")
    after = torch.cuda.is_available(), torch.cuda.device_count(), torch.Generator
    assert after == before
    with pytest.raises(RuntimeError, match="the fake device is gone"):
        kept.add(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, device="cuda"),
        lambda: torch.arange(3, device=HERE),
        lambda: torch.tensor([1.0], device="cuda:0"),
        lambda: torch.as_tensor(np.ones(2), device="cuda"),
        lambda: torch.asarray(np.ones(2), device="cuda"),
        lambda: torch.ones(2).to("cuda"),
        lambda: torch.ones(2).to("cuda", torch.float64),
        lambda: torch.ones(2).to(torch.ones(1, device="cuda")),
        lambda: torch.ones(2).cuda(),
        lambda: torch.ones(2, 2, device="cuda").double().T,
        lambda: torch.ones(2, device="cuda").new_empty(3),
        lambda: torch.zeros_like(torch.ones(2), device="cuda"),
        lambda: torch.ones(2, device="cuda") * 2 + torch.tensor(1.0),
        lambda: torch.ones(2, 2, device="cuda").sort(1).values,
        lambda: torch.stack(list(torch.ones(2, 2, device="cuda"))),
        lambda: pickle.loads(pickle.dumps(torch.ones(2, device="cuda"))),
        lambda: copy.deepcopy(torch.ones(2, device="cuda")),
        lambda: next(
            ThreadPoolExecutor(1).map(torch.ones_like, [torch.ones(2).cuda()])
        ),
        lambda: torch.zeros(2, device="cuda").copy_(torch.ones(2)),
        lambda: torch.rand(2, generator=torch.Generator("cuda"), device="cuda"),
    ],
)
def test_results_are_on_the_device_and_what_moves_is_a_copy(make, device):
    made = make()
    assert made.device == HERE
    assert made.is_cuda
    assert made.get_device() == 0
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor"):
        np.asarray(made)
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor"):
        made.numpy()
    back = made.cpu()
    assert back.device == CPU
    expected = back.clone()
    made.zero_()
    np.testing.assert_array_equal(back.numpy(), expected.numpy())


ONES = torch.ones(3)


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (lambda a: a + ONES, "found at least two devices, cuda:0 and cpu"),
        (lambda a: ONES.add_(a), "found at least two devices"),
        (lambda a: a @ ONES, "found at least two devices"),
        (lambda a: torch.stack([a, ONES]), "found at least two devices"),
        (lambda a: a.index_select(0, torch.tensor([0])), "at least two devices"),
        (lambda a: a + a.to("cuda:1"), "found at least two devices, cuda:1 and cuda:0"),
        (lambda a: a + a.sum().to("cuda:1"), "found at least two devices"),
        (lambda a: ONES[a > 0], "indices should be either on cpu or on the same"),
        (lambda a: a[a.to("cuda:1") > 0], "indices should be either on cpu"),
        (lambda a: torch.lerp(a, a, torch.tensor(0.5)), "at least two devices"),
        (
            lambda a: torch.rand(2, generator=torch.Generator(), device="cuda"),
            "Expected a 'cuda' device type for generator but found 'cpu'",
        ),
        (
            lambda a: torch.rand(2, generator=torch.Generator("cuda")),
            "Expected a 'cpu' device type for generator but found 'cuda'",
        ),
    ],
)
def test_what_mixes_devices_is_an_error(mix, words, device):
    with pytest.raises(RuntimeError, match=words):
        mix(torch.ones(3, device="cuda"))
    assert device.problems.total() == 1


@pytest.mark.parametrize(
    ("use", "reads", "copies"),
    [
        (lambda a: a * 2 + torch.tensor(1.0), 0, 0),
        (lambda a: a.sum().item(), 1, 0),
        (lambda a: float(a.sum()), 1, 0),
        (lambda a: bool((a > 0).all()), 1, 0),
        (lambda a: a.tolist(), 1, 0),
        (lambda a: a[a > 0], 1, 0),
        (lambda a: a.nonzero(), 1, 0),
        (lambda a: a.__setitem__(a > 0, 0.0), 0, 0),
        (lambda a: a.cpu(), 1, 0),
        (lambda a: torch.empty(3).copy_(a), 1, 0),
        (lambda a: a.to("cuda"), 0, 0),
        (lambda a: a.to("cuda:1"), 0, 1),
        (lambda a: a.to(torch.float64), 0, 0),
        (lambda a: torch.ones(3).to("cuda"), 0, 1),
        (lambda a: a.new_tensor([1.0, 2.0]), 0, 1),
        (lambda a: torch.as_tensor(3.0, device="cuda"), 0, 1),
        (lambda a: torch.full((3,), 2.0, device="cuda"), 0, 0),
        (lambda a: a[torch.tensor([0, 1])], 0, 1),
        (lambda a: a.copy_(torch.ones(3)), 0, 1),
    ],
)
def test_reads_and_copies_are_counted(use, reads, copies, device):
    there = torch.ones(3, device="cuda")
    device.reads.clear()
    device.copies.clear()
    use(there)
    assert (device.reads.total(), device.copies.total()) == (reads, copies)


def test_a_copy_into_the_host_stays_there(device):
    host = torch.empty(3)
    host[:2].copy_(torch.ones(2, device="cuda"))
    assert host.device == CPU
    np.testing.assert_array_equal(host[:2].numpy(), [1, 1])


def test_tensors_of_the_host_stay_what_they_are(device):
    for host in (torch.eye(2), torch.eye(2).to_sparse()):
        assert host.to_dense().device == CPU
        np.testing.assert_array_equal(host.to_dense().numpy(), np.eye(2))
    assert not device.reads
    assert not device.copies


def test_places_are_lines_of_the_package(device, digits):
    from skdigits import SoftmaxRegression

    SoftmaxRegression(max_iter=1, tol=None).fit(*digits)
    assert any(place.startswith("engine/train.py:") for place in device.reads)
    assert any("to_tensor: to from cpu to cuda:0" in place for place in device.copies)


def test_a_generator_draws_other_numbers_than_the_hosts(device):
    drawn = [
        torch.rand(4, generator=torch.Generator(where).manual_seed(0), device=where)
        for where in ("cpu", "cuda", "cuda")
    ]
    np.testing.assert_array_equal(drawn[1].cpu(), drawn[2].cpu())
    assert not np.isclose(drawn[0], drawn[1].cpu()).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_changes_last_bits_but_of_whole_numbers(dtype):
    values = torch.rand(50, 50, dtype=dtype, generator=torch.Generator().manual_seed(0))
    with fake_cuda(rounding=True):
        products = [(values.cuda() @ values.cuda()).cpu() for _ in range(2)]
        hits = (values > 0.5).cuda().double()
        assert torch.equal(hits.mean(1).cpu(), (values > 0.5).double().mean(1))
    np.testing.assert_array_equal(*products)
    expected = values @ values
    assert (products[0] != expected).double().mean() > 0.3
    eps = torch.finfo(dtype).eps
    # A step of eps, rounded.
    np.testing.assert_allclose(products[0], expected, rtol=1.6 * eps)


def test_memory_is_limited():
    with fake_cuda(memory=2**20):
        assert torch.cuda.mem_get_info() == (2**20, 2**20)
        torch.zeros(2**18, device="cuda")
        torch.zeros(1, device="cuda").expand(2**20)
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            torch.zeros(2**18 + 1, device="cuda")
