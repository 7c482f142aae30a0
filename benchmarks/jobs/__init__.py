"""The jobs of the speed benchmark, with their goals."""

from jobs import calls, searches, training
from jobs.job import Digits, Job, load_digits

__all__ = ["JOBS", "Digits", "Job", "load_digits"]

# A search on a small data set is to be twice as fast as scikit-learn's in one process.
SMALL_GOALS = {"MLPClassifier, n_jobs=1": 2, "MLPClassifier, n_jobs=2": 1}

JOBS: dict[str, Job] = {
    "mlp": Job(
        training.mlp,
        {
            "bare products": 1 / 1.6, "MLPClassifier": 2.2, "DataLoader loop": 4,
            "skorch": 4,
        },
    ),
    "softmax": Job(training.softmax, {"DataLoader loop": 6, "SGDClassifier": 10}),
    "mlp_defaults": Job(training.mlp_defaults),
    "softmax_defaults": Job(training.softmax_defaults),
    "lbfgs": Job(
        training.lbfgs,
        {"LogisticRegression": 2.5},
        decimals=7,
        compare=training.same_objective,
    ),
    "templates": Job(training.templates, {"NearestCentroid": 6}),
    "many_classes": Job(training.many_classes, {"plain loop": 1 / 1.5}),
    "grid_8": Job(
        searches.grid_8,
        {
            "GridSearchCV(n_jobs=2)": 2.5, "skorch, n_jobs=2": 10,
            "SGDClassifier, n_jobs=2": 20,
        },
    ),
    "grid_32": Job(searches.grid_32, {"GridSearchCV(n_jobs=2)": 3.5}),
    "price": Job(searches.price, {"one fit and its score": 1 / 2}),
    "grid_mlp": Job(searches.grid_mlp, {"GridSearchCV(n_jobs=2)": 1.1}),
    "grid_wide": Job(searches.grid_wide, {"GridSearchCV": 0.9}),
    **{
        name: Job(build, SMALL_GOALS, title)
        for name, (build, title) in searches.small_searches().items()
    },
    "halving": Job(
        searches.halving, {"BatchedGridSearchCV": 3}, compare=searches.same_winner
    ),
    "iris": Job(training.iris, {"MLPClassifier": 1}),
    "predict_many": Job(calls.predict_many, {"MLPClassifier": 1}),
    "predict_one": Job(calls.predict_one, {"MLPClassifier": 1}),
    "one_image": Job(calls.one_image, turns=200, tail=0.95, tail_goal=3),
    "updates": Job(calls.updates, decimals=0),
}  # fmt: skip
