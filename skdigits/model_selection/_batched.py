"""Batched searches over parameters, with the interface of scikit-learn's searches."""

import numpy as np
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
)

from skdigits._arrays import refuse_cuda_tensors
from skdigits._parameters import SEARCH
from skdigits._versions import Versioned
from skdigits.model_selection._score import Scored
from skdigits.model_selection._search import fit_context, fit_search


class BatchedGridSearchCV(Scored, Versioned, GridSearchCV):
    """Exhaustive search over a parameter grid that trains many candidates at once.

    Parameters, attributes and results are those of scikit-learn's ``GridSearchCV``;
    only the training differs. Candidates train together, as one batch of models, if
    they differ only in ``learning_rate_init``, ``alpha``, ``momentum``, ``beta_1``,
    ``beta_2``, ``epsilon``, ``weight_decay``, ``power_t``, ``dropout`` or
    ``random_state``. The models of all folds train in the same batch.

    Parameters
    ----------
    estimator : estimator
        Estimator to tune: ``SoftmaxRegression``, ``MLPClassifierTorch``,
        ``ConvNetClassifier``, or a Pipeline that ends in one of them. Any other
        estimator is evaluated as in scikit-learn.
    param_grid : dict or list of dicts
        Parameter names with the values to try, or a list of several such grids.
    scoring : str, callable, list, tuple or dict, default=None
        Metric, or several metrics, by which candidates are evaluated. None stands for
        the ``score`` of the estimator.
    n_jobs : int or None, default=None
        Number of processes for models that do not train together. The processes share
        folds, seeds and candidates. None stands for one process. Models that train
        together do so in this process, on all cores, unless a backend is named by
        ``joblib.parallel_config``: its workers, on this machine or on others, then
        share all models, with the same results.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all samples. With several metrics, the name
        of the metric that selects the best candidate. A callable takes ``cv_results_``
        and returns the index of the best candidate.
    cv : int, cross-validation generator or iterable, default=None
        Folds, as in scikit-learn. None stands for 5 stratified folds.
    verbose : int, default=0
        Verbosity, as in scikit-learn: higher values print more about the candidates.
    pre_dispatch : int or str, default="2*n_jobs"
        Number of fits of scikit-learn's loop dispatched in advance, as in scikit-learn.
        Of models that share runs, each worker has one piece at a time.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails. A warning names the error. With ``"raise"``, the
        error is raised instead.
    return_train_score : bool, default=False
        Whether ``cv_results_`` includes scores on the training samples.
    return_epoch_scores : bool, default=False
        Whether ``cv_results_`` includes the test scores after every epoch. If False,
        models are scored once, after training, which can take far less time.
    refit_epochs : {"best"} or None, default=None
        Number of epochs of the refit. ``"best"`` selects the candidate and the number
        of epochs with the highest mean test score. This tunes ``max_iter`` without a
        fit for each value, but scores the models after every epoch. The refit follows
        the learning rate schedule of the candidate's ``max_iter`` epochs, and stops at
        the selected epoch. All candidates must be batched in every fold. None trains
        for the number of epochs of the candidate's parameters.
    working_memory : float, default=None
        Maximum memory in MiB of the models of one run, without the samples. If the
        models need more, they are trained in several runs. None stands for
        ``sklearn.get_config()["working_memory"]``, which is 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        Results of the candidates, as in scikit-learn. ``mean_fit_time`` and
        ``mean_score_time`` are the candidate's share of the time of its run.

        With ``return_epoch_scores=True`` or ``refit_epochs="best"``,
        ``split<i>_test_<metric>_by_epoch`` and ``mean_test_<metric>_by_epoch`` hold for
        each candidate an array of the test scores after every epoch (with L-BFGS, after
        every iteration). A single metric is called ``score``. If a fold ends earlier
        than others, its final score is repeated. The array is empty for a candidate
        that scikit-learn fitted in some fold. The columns are missing if scikit-learn
        fitted all candidates.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether each candidate shared its runs with other models, in every fold.
    best_estimator_ : estimator
        Best candidate, fitted to all samples. Not available if ``refit=False``.
    best_score_ : float
        Mean test score of the best candidate. Not available if ``refit`` is a callable.
    best_params_ : dict
        Parameters of the best candidate.
    best_index_ : int
        Index of the best candidate in ``cv_results_``.
    refit_time_ : float
        Duration of the refit in seconds.
    scorer_ : callable or dict
        Scorer, or a dict of scorers by metric with several metrics.
    n_splits_ : int
        Number of folds.
    best_n_epochs_ : int
        Number of epochs of the refit; available only with ``refit_epochs="best"``.
        ``best_score_`` is then the mean test score after this number of epochs.
    multimetric_ : bool
        Whether there are several metrics.
    classes_ : ndarray of shape (n_classes,)
        Class labels of the best candidate, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    BatchedRandomizedSearchCV : Search over candidates drawn at random.
    sklearn.model_selection.GridSearchCV : The counterpart in scikit-learn.

    Notes
    -----
    Candidates that differ in other parameters, such as ``hidden_layer_sizes``,
    ``batch_size``, ``solver`` or ``loss``, train in separate runs. The steps of a
    Pipeline before the model are fitted once for each fold and each of their settings.
    On a CPU, a ``ConvNetClassifier`` trains alone, and so does a model with enough
    parameters to keep the processor busy; a GPU trains them together. scikit-learn's
    own loop evaluates other estimators, settings that raise an error, folds whose
    training samples lack a class, and searches that pass other parameters than the
    model's ``sample_weight`` to ``fit``.

    Every candidate equals the model of a separate fit, up to rounding: the models share
    samples, but not losses or steps. If a candidate diverges, the search warns, and
    scores the model of the last epoch before.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=20, tol=None, random_state=0)
    >>> grid = {"learning_rate_init": [0.0001, 0.001, 0.01, 0.1]}
    >>> search = BatchedGridSearchCV(model, grid, return_epoch_scores=True)
    >>> search.fit(X / 16, y).best_params_
    {'learning_rate_init': 0.1}
    >>> search.batched_
    array([ True,  True,  True,  True])
    >>> search.cv_results_["mean_test_score_by_epoch"][2].shape
    (20,)
    """

    _saved_in = "folder"
    _parameter_constraints = {**GridSearchCV._parameter_constraints, **SEARCH}

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        error_score=np.nan,
        return_train_score=False,
        return_epoch_scores=False,
        refit_epochs=None,
        working_memory=None,
    ):
        super().__init__(
            estimator=estimator,
            param_grid=param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.return_epoch_scores = return_epoch_scores
        self.refit_epochs = refit_epochs
        self.working_memory = working_memory

    @fit_context
    def fit(self, X, y=None, **params):
        """Train and score all candidates, and refit the best.

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
            If a parameter is invalid, if all fits fail, or if a fit fails with
            ``error_score="raise"``. With ``refit_epochs="best"``, also if there is no
            refit, no metric to choose by or a candidate that was not batched, or if a
            candidate has ``early_stopping=True``, which already chooses the number of
            epochs.
        """
        if params or not (isinstance(X, np.ndarray) and isinstance(y, np.ndarray)):
            refuse_cuda_tensors(X=X, y=y, **params)
        settings = ParameterGrid(self.param_grid)
        fit_search(self, X, y, params, settings)
        return self


class BatchedRandomizedSearchCV(Scored, Versioned, RandomizedSearchCV):
    """Search over randomly drawn candidates that trains many of them at once.

    Parameters, attributes and results are those of scikit-learn's
    ``RandomizedSearchCV``; the candidates are trained as in `BatchedGridSearchCV`.
    More candidates cost little if only learning rates and other parameters that a batch
    can vary are drawn.

    Parameters
    ----------
    estimator : estimator
        Estimator to tune: ``SoftmaxRegression``, ``MLPClassifierTorch``,
        ``ConvNetClassifier``, or a Pipeline that ends in one of them. Any other
        estimator is evaluated as in scikit-learn.
    param_distributions : dict or list of dicts
        Parameter names with lists or distributions (objects with ``rvs``) to draw
        values from, or a list of several such dicts.
    n_iter : int, default=10
        Number of candidates to draw.
    scoring : str, callable, list, tuple or dict, default=None
        Metric, or several metrics, by which candidates are evaluated. None stands for
        the ``score`` of the estimator.
    n_jobs : int or None, default=None
        Number of processes for models that do not train together. The processes share
        folds, seeds and candidates. None stands for one process. Models that train
        together do so in this process, on all cores, unless a backend is named by
        ``joblib.parallel_config``: its workers, on this machine or on others, then
        share all models, with the same results.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all samples. With several metrics, the name
        of the metric that selects the best candidate. A callable takes ``cv_results_``
        and returns the index of the best candidate.
    cv : int, cross-validation generator or iterable, default=None
        Folds, as in scikit-learn. None stands for 5 stratified folds.
    verbose : int, default=0
        Verbosity, as in scikit-learn: higher values print more about the candidates.
    pre_dispatch : int or str, default="2*n_jobs"
        Number of fits of scikit-learn's loop dispatched in advance, as in scikit-learn.
        Of models that share runs, each worker has one piece at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of the drawn candidates.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails. A warning names the error. With ``"raise"``, the
        error is raised instead.
    return_train_score : bool, default=False
        Whether ``cv_results_`` includes scores on the training samples.
    return_epoch_scores : bool, default=False
        Whether ``cv_results_`` includes the test scores after every epoch. If False,
        models are scored once, after training, which can take far less time.
    refit_epochs : {"best"} or None, default=None
        Number of epochs of the refit. ``"best"`` selects the candidate and the number
        of epochs with the highest mean test score. This tunes ``max_iter`` without a
        fit for each value, but scores the models after every epoch. The refit follows
        the learning rate schedule of the candidate's ``max_iter`` epochs, and stops at
        the selected epoch. All candidates must be batched in every fold. None trains
        for the number of epochs of the candidate's parameters.
    working_memory : float, default=None
        Maximum memory in MiB of the models of one run, without the samples. If the
        models need more, they are trained in several runs. None stands for
        ``sklearn.get_config()["working_memory"]``, which is 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        Results of the candidates, as in scikit-learn. ``mean_fit_time`` and
        ``mean_score_time`` are the candidate's share of the time of its run.

        With ``return_epoch_scores=True`` or ``refit_epochs="best"``,
        ``split<i>_test_<metric>_by_epoch`` and ``mean_test_<metric>_by_epoch`` hold for
        each candidate an array of the test scores after every epoch (with L-BFGS, after
        every iteration). A single metric is called ``score``. If a fold ends earlier
        than others, its final score is repeated. The array is empty for a candidate
        that scikit-learn fitted in some fold. The columns are missing if scikit-learn
        fitted all candidates.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether each candidate shared its runs with other models, in every fold.
    best_estimator_ : estimator
        Best candidate, fitted to all samples. Not available if ``refit=False``.
    best_score_ : float
        Mean test score of the best candidate. Not available if ``refit`` is a callable.
    best_params_ : dict
        Parameters of the best candidate.
    best_index_ : int
        Index of the best candidate in ``cv_results_``.
    refit_time_ : float
        Duration of the refit in seconds.
    scorer_ : callable or dict
        Scorer, or a dict of scorers by metric with several metrics.
    n_splits_ : int
        Number of folds.
    best_n_epochs_ : int
        Number of epochs of the refit; available only with ``refit_epochs="best"``.
        ``best_score_`` is then the mean test score after this number of epochs.
    multimetric_ : bool
        Whether there are several metrics.
    classes_ : ndarray of shape (n_classes,)
        Class labels of the best candidate, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    BatchedGridSearchCV : Search over a grid, with notes on batching.
    sklearn.model_selection.RandomizedSearchCV : The counterpart in scikit-learn.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedRandomizedSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=20, tol=None, random_state=0)
    >>> rates = {"learning_rate_init": loguniform(1e-4, 1)}
    >>> search = BatchedRandomizedSearchCV(model, rates, n_iter=16, random_state=0)
    >>> print(f"{search.fit(X / 16, y).best_score_:.2f}")
    0.93
    """

    _saved_in = "folder"
    _parameter_constraints = {**RandomizedSearchCV._parameter_constraints, **SEARCH}

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=10,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
        return_epoch_scores=False,
        refit_epochs=None,
        working_memory=None,
    ):
        super().__init__(
            estimator=estimator,
            param_distributions=param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.return_epoch_scores = return_epoch_scores
        self.refit_epochs = refit_epochs
        self.working_memory = working_memory

    @fit_context
    def fit(self, X, y=None, **params):
        """Train and score all candidates, and refit the best.

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
            If a parameter is invalid, if all fits fail, or if a fit fails with
            ``error_score="raise"``. With ``refit_epochs="best"``, also if there is no
            refit, no metric to choose by or a candidate that was not batched, or if a
            candidate has ``early_stopping=True``, which already chooses the number of
            epochs.
        """
        if params or not (isinstance(X, np.ndarray) and isinstance(y, np.ndarray)):
            refuse_cuda_tensors(X=X, y=y, **params)
        settings = ParameterSampler(
            self.param_distributions, self.n_iter, random_state=self.random_state
        )
        fit_search(self, X, y, params, settings)
        return self
