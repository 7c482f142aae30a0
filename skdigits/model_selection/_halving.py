"""Batched successive halving, with the interface of scikit-learn's searches."""

import copy

import numpy as np
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV

from skdigits._arrays import refuse_cuda_tensors
from skdigits._parameters import SEARCH
from skdigits._versions import Versioned
from skdigits.model_selection._rungs import epochs_parameter, evaluate_iterations
from skdigits.model_selection._score import Scored
from skdigits.model_selection._scoring import n_samples_of
from skdigits.model_selection._search import fit_context, fit_search

OURS = {"working_memory": SEARCH["working_memory"]}


class _Halving(Scored, Versioned):
    """Methods and attributes that both halving searches add to scikit-learn's."""

    # Parameters of the other searches; halving has resources instead.
    refit_epochs = None
    return_epoch_scores = False
    _saved_in = "folder"

    @fit_context
    def fit(self, X, y=None, **params):
        """Train fewer and fewer candidates with more resources, and refit the best.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples. The estimator decides whether integers are pixels.
        y : array-like of shape (n_samples,), default=None
            Class labels; None for an estimator that needs no labels.
        **params : dict
            Parameters of the estimator's ``fit``, of the scorer and of the splitter, as
            in scikit-learn.

        Returns
        -------
        self : object
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is invalid, if the estimator lacks the resource, if the
            resource is also searched over, if ``cv`` draws new folds in every call, if
            all fits fail, or if a fit fails with ``error_score="raise"``.
        """
        refuse_cuda_tensors(X=X, y=y, **params)
        self._n_samples_orig = n_samples_of(X)
        fit_search(self, X, y, params, iterations=evaluate_iterations)
        self.best_score_ = self.cv_results_["mean_test_score"][self.best_index_]
        return self

    def _check_input_parameters(self, X, y, split_params):
        """Check resources as scikit-learn does, and set the attributes of the limits.

        These are ``min_resources_`` and ``max_resources_``. With epochs as the
        resource, ``max_resources="auto"`` is the ``max_iter`` of the estimator.
        """
        known = self.estimator.get_params()
        if self.resource == "max_iter" and self.resource not in known:
            epochs = epochs_parameter(self.estimator)
            cure = repr(epochs) if epochs in known else "'n_samples'"
            raise ValueError(
                "resource='max_iter' is no parameter of "
                f"{type(self.estimator).__name__}: set resource={cure}."
            )

        checked = copy.copy(self)
        of_epochs = self.resource.rpartition("__")[2] == "max_iter"
        if of_epochs and self.resource in known and self.max_resources == "auto":
            checked.max_resources = known[self.resource]
        super(_Halving, checked)._check_input_parameters(X, y, split_params)
        self.min_resources_ = checked.min_resources_
        self.max_resources_ = checked.max_resources_


class BatchedHalvingGridSearchCV(_Halving, HalvingGridSearchCV):
    """Search over a grid by successive halving, in batched runs.

    The first iteration trains all candidates for a few epochs. Each following iteration
    trains the best of them for more epochs. Parameters, attributes and results are
    those of scikit-learn's ``HalvingGridSearchCV``; only the training differs. An
    iteration trains its candidates as `BatchedGridSearchCV` does, and continues from
    the models of the iteration before, so no epoch is trained twice.

    Parameters
    ----------
    estimator : estimator
        Estimator to tune: ``SoftmaxRegression``, ``MLPClassifierTorch``,
        ``ConvNetClassifier``, or a Pipeline that ends in one of them. Any other
        estimator is evaluated as in scikit-learn.
    param_grid : dict or list of dicts
        Parameter names with the values to try, or a list of several such grids.
    factor : int or float, default=3
        Factor of each iteration. After an iteration, the number of candidates is
        divided by ``factor``, and the resource is multiplied by ``factor``.
    resource : str, default="max_iter"
        Resource that increases with each iteration: the number of epochs,
        ``"max_iter"`` (``"<step>__max_iter"`` in a Pipeline); the number of samples,
        ``"n_samples"``, which is scikit-learn's default; or any other parameter of the
        estimator that takes positive integers.
    max_resources : {"auto"} or int, default="auto"
        Maximum resource of a candidate. ``"auto"`` is the ``max_iter`` of the estimator
        or, with ``resource="n_samples"``, the number of samples. Other resources need a
        number.
    min_resources : {"exhaust", "smallest"} or int, default="exhaust"
        Resource of the first iteration. ``"smallest"`` is 1, or scikit-learn's value
        with ``resource="n_samples"``. ``"exhaust"`` is the largest value with which the
        last iteration uses at most ``max_resources``.
    aggressive_elimination : bool, default=False
        Whether to repeat the first iteration, with fewer candidates each time, if the
        resources do not suffice to reduce the candidates to at most ``factor``.
    cv : int, cross-validation generator or iterable, default=5
        Folds, as in scikit-learn. A splitter must yield the same folds in every call.
    scoring : str, callable or None, default=None
        Metric by which candidates are evaluated. None stands for the ``score`` of the
        estimator.
    refit : bool or callable, default=True
        Whether to fit the best candidate to all samples, with the resource of the last
        iteration. As in scikit-learn, a callable does not change which candidate is the
        best.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails. A warning names the error. With ``"raise"``, the
        error is raised instead.
    return_train_score : bool, default=True
        Whether ``cv_results_`` includes scores on the training samples.
    random_state : int, RandomState instance or None, default=None
        Seed of the samples of an iteration with ``resource="n_samples"``; not used with
        other resources.
    n_jobs : int or None, default=None
        Number of processes for models that do not train together. The processes share
        folds, seeds and candidates. None stands for one process. Models that train
        together do so in this process, on all cores, unless a backend is named by
        ``joblib.parallel_config``: its workers, on this machine or on others, then
        share all models, with the same results.
    verbose : int, default=0
        Verbosity, as in scikit-learn: higher values print more about the candidates.
    working_memory : float, default=None
        Maximum memory in MiB of the models of one run, without the samples. If the
        models need more, they are trained in several runs. None stands for
        ``sklearn.get_config()["working_memory"]``, which is 1024 by default.

    Attributes
    ----------
    n_resources_ : list of int
        Resource of each iteration.
    n_candidates_ : list of int
        Number of candidates of each iteration.
    n_remaining_candidates_ : int
        Number of candidates that would remain after the last iteration.
    max_resources_ : int
        Maximum resource of a candidate.
    min_resources_ : int
        Resource of the first iteration.
    n_iterations_ : int
        Number of iterations.
    n_possible_iterations_ : int
        Number of iterations between ``min_resources_`` and ``max_resources_``.
    n_required_iterations_ : int
        Number of iterations needed to have fewer than ``factor`` candidates in the last
        iteration.
    cv_results_ : dict of ndarrays
        Results of the candidates of all iterations, as in scikit-learn. The columns
        ``iter`` and ``n_resources`` have the iteration and its resource.
        ``mean_fit_time`` and ``mean_score_time`` are the candidate's share of the time
        of its run in this iteration, without earlier epochs.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether each candidate of each iteration shared its runs with other models, in
        every fold.
    best_estimator_ : estimator
        Best candidate of the last iteration, fitted to all samples. Not available if
        ``refit=False``.
    best_score_ : float
        Mean test score of the best candidate in the last iteration.
    best_params_ : dict
        Parameters of the best candidate, including the resource unless it is the number
        of samples.
    best_index_ : int
        Index of the best candidate in ``cv_results_``.
    refit_time_ : float
        Duration of the refit in seconds.
    scorer_ : callable
        Scorer of the candidates.
    n_splits_ : int
        Number of folds.
    multimetric_ : bool
        Whether there are several metrics: always False, because halving compares
        candidates by one metric.
    classes_ : ndarray of shape (n_classes,)
        Class labels of the best candidate, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    BatchedHalvingRandomSearchCV : The same for candidates drawn at random.
    BatchedGridSearchCV : Trains all candidates to the end.
    sklearn.model_selection.HalvingGridSearchCV : The counterpart in scikit-learn.

    Notes
    -----
    Continued training gives the same model as longer training from scratch, so the
    scores equal those of scikit-learn's search, up to rounding. In some cases,
    continued training would give another model. Each iteration then trains its
    candidates from scratch, in batches where possible:

    - with ``learning_rate="one_cycle"``, because the schedule depends on ``max_iter``,
      the number of epochs of the iteration;
    - with ``early_stopping=True``, which restores the best epoch;
    - with L-BFGS, also if ``solver="auto"`` chooses L-BFGS;
    - where batches are impossible, for example with other estimators;
    - after steps of a Pipeline that transform differently in each fit.

    With ``random_state=None``, a continued candidate keeps its initial weights of the
    first iteration.

    A candidate that has converged or diverged is not trained again, and keeps its
    scores. Batched runs do not warn that training reached ``max_iter`` epochs, because
    iterations are short on purpose. The refit does warn.

    Between two iterations, the parameters of all models and the moments of their
    solvers stay in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedHalvingGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=27, tol=None, random_state=0)
    >>> grid = {"learning_rate_init": np.geomspace(1e-5, 10, 27)}
    >>> search = BatchedHalvingGridSearchCV(model, grid).fit(X / 16, y)
    >>> search.n_candidates_, search.n_resources_
    ([27, 9, 3, 1], [1, 3, 9, 27])
    >>> print(f"{search.best_score_:.2f}")
    0.93
    """

    _parameter_constraints = {**HalvingGridSearchCV._parameter_constraints, **OURS}

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        factor=3,
        resource="max_iter",
        max_resources="auto",
        min_resources="exhaust",
        aggressive_elimination=False,
        cv=5,
        scoring=None,
        refit=True,
        error_score=np.nan,
        return_train_score=True,
        random_state=None,
        n_jobs=None,
        verbose=0,
        working_memory=None,
    ):
        super().__init__(
            estimator=estimator,
            param_grid=param_grid,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.working_memory = working_memory


class BatchedHalvingRandomSearchCV(_Halving, HalvingRandomSearchCV):
    """Search over random candidates by successive halving, in batched runs.

    Parameters, attributes and results are those of scikit-learn's
    ``HalvingRandomSearchCV``; the candidates are trained as in
    `BatchedHalvingGridSearchCV`. More candidates cost little if only learning rates and
    other parameters that a batch can vary are drawn.

    Parameters
    ----------
    estimator : estimator
        Estimator to tune: ``SoftmaxRegression``, ``MLPClassifierTorch``,
        ``ConvNetClassifier``, or a Pipeline that ends in one of them. Any other
        estimator is evaluated as in scikit-learn.
    param_distributions : dict or list of dicts
        Parameter names with lists or distributions (objects with ``rvs``) to draw
        values from, or a list of several such dicts.
    n_candidates : {"exhaust"} or int, default="exhaust"
        Number of candidates to draw. ``"exhaust"`` draws so many that the last
        iteration uses as much of the resource as possible.
    factor : int or float, default=3
        Factor of each iteration. After an iteration, the number of candidates is
        divided by ``factor``, and the resource is multiplied by ``factor``.
    resource : str, default="max_iter"
        Resource that increases with each iteration: the number of epochs,
        ``"max_iter"`` (``"<step>__max_iter"`` in a Pipeline); the number of samples,
        ``"n_samples"``, which is scikit-learn's default; or any other parameter of the
        estimator that takes positive integers.
    max_resources : {"auto"} or int, default="auto"
        Maximum resource of a candidate. ``"auto"`` is the ``max_iter`` of the estimator
        or, with ``resource="n_samples"``, the number of samples. Other resources need a
        number.
    min_resources : {"exhaust", "smallest"} or int, default="smallest"
        Resource of the first iteration. ``"smallest"`` is 1, or scikit-learn's value
        with ``resource="n_samples"``. ``"exhaust"`` is the largest value with which the
        last iteration uses at most ``max_resources``.
    aggressive_elimination : bool, default=False
        Whether to repeat the first iteration, with fewer candidates each time, if the
        resources do not suffice to reduce the candidates to at most ``factor``.
    cv : int, cross-validation generator or iterable, default=5
        Folds, as in scikit-learn. A splitter must yield the same folds in every call.
    scoring : str, callable or None, default=None
        Metric by which candidates are evaluated. None stands for the ``score`` of the
        estimator.
    refit : bool or callable, default=True
        Whether to fit the best candidate to all samples, with the resource of the last
        iteration. As in scikit-learn, a callable does not change which candidate is the
        best.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails. A warning names the error. With ``"raise"``, the
        error is raised instead.
    return_train_score : bool, default=True
        Whether ``cv_results_`` includes scores on the training samples.
    random_state : int, RandomState instance or None, default=None
        Seed of the drawn candidates, and of the samples of an iteration with
        ``resource="n_samples"``.
    n_jobs : int or None, default=None
        Number of processes for models that do not train together. The processes share
        folds, seeds and candidates. None stands for one process. Models that train
        together do so in this process, on all cores, unless a backend is named by
        ``joblib.parallel_config``: its workers, on this machine or on others, then
        share all models, with the same results.
    verbose : int, default=0
        Verbosity, as in scikit-learn: higher values print more about the candidates.
    working_memory : float, default=None
        Maximum memory in MiB of the models of one run, without the samples. If the
        models need more, they are trained in several runs. None stands for
        ``sklearn.get_config()["working_memory"]``, which is 1024 by default.

    Attributes
    ----------
    n_resources_ : list of int
        Resource of each iteration.
    n_candidates_ : list of int
        Number of candidates of each iteration.
    n_remaining_candidates_ : int
        Number of candidates that would remain after the last iteration.
    max_resources_ : int
        Maximum resource of a candidate.
    min_resources_ : int
        Resource of the first iteration.
    n_iterations_ : int
        Number of iterations.
    n_possible_iterations_ : int
        Number of iterations between ``min_resources_`` and ``max_resources_``.
    n_required_iterations_ : int
        Number of iterations needed to have fewer than ``factor`` candidates in the last
        iteration.
    cv_results_ : dict of ndarrays
        Results of the candidates of all iterations, as in scikit-learn. The columns
        ``iter`` and ``n_resources`` have the iteration and its resource.
        ``mean_fit_time`` and ``mean_score_time`` are the candidate's share of the time
        of its run in this iteration, without earlier epochs.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether each candidate of each iteration shared its runs with other models, in
        every fold.
    best_estimator_ : estimator
        Best candidate of the last iteration, fitted to all samples. Not available if
        ``refit=False``.
    best_score_ : float
        Mean test score of the best candidate in the last iteration.
    best_params_ : dict
        Parameters of the best candidate, including the resource unless it is the number
        of samples.
    best_index_ : int
        Index of the best candidate in ``cv_results_``.
    refit_time_ : float
        Duration of the refit in seconds.
    scorer_ : callable
        Scorer of the candidates.
    n_splits_ : int
        Number of folds.
    multimetric_ : bool
        Whether there are several metrics: always False, because halving compares
        candidates by one metric.
    classes_ : ndarray of shape (n_classes,)
        Class labels of the best candidate, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    BatchedHalvingGridSearchCV : Search over a grid, with notes on continued training.
    BatchedRandomizedSearchCV : Trains all candidates to the end.
    sklearn.model_selection.HalvingRandomSearchCV : The counterpart in scikit-learn.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedHalvingRandomSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=27, tol=None, random_state=0)
    >>> rates = {"learning_rate_init": loguniform(1e-5, 10)}
    >>> search = BatchedHalvingRandomSearchCV(model, rates, random_state=0)
    >>> search.fit(X / 16, y).n_candidates_
    [27, 9, 3, 1]
    >>> print(f"{search.best_score_:.2f}")
    0.93
    """

    _parameter_constraints = {**HalvingRandomSearchCV._parameter_constraints, **OURS}

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_candidates="exhaust",
        factor=3,
        resource="max_iter",
        max_resources="auto",
        min_resources="smallest",
        aggressive_elimination=False,
        cv=5,
        scoring=None,
        refit=True,
        error_score=np.nan,
        return_train_score=True,
        random_state=None,
        n_jobs=None,
        verbose=0,
        working_memory=None,
    ):
        super().__init__(
            estimator=estimator,
            param_distributions=param_distributions,
            n_candidates=n_candidates,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.working_memory = working_memory
