"""Fit one network on several processes, started by torchrun.

    torchrun --nproc-per-node=2 examples/torchrun_fit.py
    torchrun --nproc-per-node=2 examples/torchrun_fit.py --shards

On a machine with GPUs, each process takes one of its own.
"""

import argparse
import os

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch
from skdigits.distributed import data_parallel

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument(
    "--shards", action="store_true", help="each process has samples of its own"
)
options = parser.parse_args()

if torch.cuda.is_available():
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl")
else:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
rank = dist.get_rank()

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
if options.shards:
    # Here a part of what all have; elsewhere what a process reads from its own files.
    X_train = X_train[rank :: dist.get_world_size()]
    y_train = y_train[rank :: dist.get_world_size()]

model = MLPClassifierTorch(
    64, learning_rate_init=0.01, max_iter=20, tol=None, random_state=0
)
with data_parallel(shards=options.shards):
    model.fit(X_train, y_train)

if rank == 0:
    print(f"{dist.get_world_size()} ranks, {len(X_train)} samples on the first")
    print(f"Accuracy {model.score(X_test, y_test):.3f} after {model.n_iter_} epochs")
dist.destroy_process_group()
