"""Search for a learning rate on the workers of a Dask cluster.

python examples/distributed_search.py                        # on this machine
python examples/distributed_search.py tcp://scheduler:8786   # on a cluster
"""

import argparse

import joblib
import numpy as np
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits

from skdigits import SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scheduler", nargs="?", help="address of a running scheduler")
    scheduler = parser.parse_args().scheduler

    X, y = load_digits(return_X_y=True)
    rates = list(np.geomspace(0.001, 1, 16))
    search = BatchedGridSearchCV(
        SoftmaxRegression(max_iter=10, tol=None, random_state=0),
        {"learning_rate_init": rates},
    )

    # One thread a worker: each trains its pieces of the search by itself.
    where = scheduler or LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    )
    with Client(where) as client:
        n_workers = len(client.ncores())
        with joblib.parallel_config("dask"):
            search.fit(X / 16, y)

    print(f"{len(rates)} rates in {search.n_splits_} folds on {n_workers} workers")
    print(f"Best rate {search.best_params_['learning_rate_init']:.3f}")
    print(f"Validation score {search.best_score_:.3f}")


# Workers of this machine import the script.
if __name__ == "__main__":
    main()
