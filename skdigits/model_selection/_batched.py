"""Searches over parameters, drop-in for scikit-learn's."""

import numpy as np
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
)

from skdigits._parameters import SEARCH
from skdigits.model_selection._private import fit_context
from skdigits.model_selection._search import fit_search


class BatchedGridSearchCV(GridSearchCV):
    """Exhaustive search over parameters, in which candidates share runs.

    scikit-learn's ``GridSearchCV`` with the same parameters, attributes and results. What is
    different is how the candidates are trained: those that differ in ``learning_rate_init``,
    ``alpha``, ``momentum``, ``beta_1``, ``beta_2``, ``epsilon``, ``weight_decay``,
    ``power_t``, ``dropout`` or ``random_state`` only are one batch of models that see the
    same rows together, and so are the folds.

    Parameters
    ----------
    estimator : estimator
        ``SoftmaxRegression``, ``MLPClassifierTorch``, ``ConvNetClassifier`` or a Pipeline that
        ends in one of them; any other is searched as by scikit-learn.
    param_grid : dict or list of dicts
        Names of parameters with the values to try, or several such grids.
    scoring : str, callable, list, tuple or dict, default=None
        What to score by, one metric or several; None is the estimator's own ``score``.
    n_jobs : int or None, default=None
        Processes that share the candidates out, or the folds where steps come before the
        model. One process, as with None, uses all cores, and for models of few parameters
        that is mostly as fast.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows; of several metrics the name of the one
        to choose by, or a function of ``cv_results_`` that returns the best index.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in GridSearchCV; None is 5, stratified.
    verbose : int, default=0
        How much is printed about candidates, as in GridSearchCV.
    pre_dispatch : int or str, default="2*n_jobs"
        Jobs that are handed out ahead, as in GridSearchCV.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails, with a warning; ``"raise"`` raises its error.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores on the train rows as well.
    refit_epochs : {"best"} or None, default=None
        ``"best"`` takes, of all candidates and numbers of epochs, the pair with the highest
        mean test score, and refits for that number: ``max_iter`` is tuned without a fit for
        each value. The schedule stays that of the candidate's ``max_iter`` epochs, of which
        the first are done. All candidates must have been batched in every fold. None refits
        for as many epochs as the candidate asks for.
    working_memory : float, default=None
        MiB that the models of one run may take beside the rows; more models are trained in
        several runs. None is ``sklearn.get_config()["working_memory"]``, 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        As in scikit-learn. Beside it, ``split<i>_test_<metric>_by_epoch`` and
        ``mean_test_<metric>_by_epoch`` hold, for each candidate, an array of the scores after
        every epoch (of L-BFGS, iteration), with ``metric`` being ``score`` where there is
        one only. Where a fold ended earlier than others, its final score goes on. A
        candidate that was evaluated one by one in some fold has an empty array; where all
        were, there are no such columns.
        ``mean_fit_time`` and ``mean_score_time`` are the model's share of its run.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether a candidate shared its runs with others, in every fold.
    best_estimator_, best_score_, best_params_, best_index_, refit_time_, scorer_, n_splits_
        As in scikit-learn.
    best_n_epochs_ : int
        Epochs of the refit; only with ``refit_epochs="best"``, when ``best_score_`` is the
        mean test score after so many.
    multimetric_, classes_, n_features_in_, feature_names_in_
        As in scikit-learn.

    See Also
    --------
    BatchedRandomizedSearchCV : The same over distributions.
    sklearn.model_selection.GridSearchCV : What this goes by.

    Notes
    -----
    Candidates that differ in other parameters, such as ``hidden_layer_sizes``,
    ``batch_size``, ``solver`` or ``loss``, are trained in runs of their own. The steps of a
    Pipeline before the model are fitted once for each fold and each of their own settings.
    A model with so many parameters that it keeps the processor busy by itself, and a
    ``ConvNetClassifier``, is trained alone. Other estimators, settings that raise an error,
    folds whose train rows lack a class, and parameters of ``fit`` other than the model's
    ``sample_weight`` go scikit-learn's own way.

    Every candidate becomes what its own fit would make of it, to rounding: models share rows,
    but neither loss nor step. One that diverges is warned of, and is scored as it was before.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=20, tol=None, random_state=0)
    >>> search = BatchedGridSearchCV(model, {"learning_rate_init": [0.0001, 0.001, 0.01, 0.1]})
    >>> search.fit(X / 16, y).best_params_
    {'learning_rate_init': 0.1}
    >>> search.batched_
    array([ True,  True,  True,  True])
    >>> search.cv_results_["mean_test_score_by_epoch"][2].shape
    (20,)
    """

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
        self.refit_epochs = refit_epochs
        self.working_memory = working_memory

    @fit_context
    def fit(self, X, y=None, **params):
        """Train and score all candidates, and refit the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; uint8 are pixels.
        y : array-like of shape (n_samples,), default=None
            Labels; None for estimators that need none.
        **params : dict
            Parameters of the estimator's ``fit``, of the scorer and of the splitter, as in
            scikit-learn.

        Returns
        -------
        self : BatchedGridSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is not as described, all fits fail, or any with
            ``error_score="raise"``; if ``refit_epochs="best"`` and there is nothing to
            choose from, or ``early_stopping`` chooses already.
        """
        settings = ParameterGrid(self.param_grid)
        fit_search(self, X, y, params, settings)
        return self


class BatchedRandomizedSearchCV(RandomizedSearchCV):
    """Search over parameters drawn at random, in which candidates share runs.

    scikit-learn's ``RandomizedSearchCV`` with the same parameters, attributes and results,
    and with `BatchedGridSearchCV`'s way of training. Learning rates and the like may be drawn
    from distributions at hardly any price.

    Parameters
    ----------
    estimator : estimator
        ``SoftmaxRegression``, ``MLPClassifierTorch``, ``ConvNetClassifier`` or a Pipeline that
        ends in one of them; any other is searched as by scikit-learn.
    param_distributions : dict or list of dicts
        Names of parameters with lists or distributions (that have ``rvs``) to draw from.
    n_iter : int, default=10
        Settings to draw.
    scoring : str, callable, list, tuple or dict, default=None
        What to score by, one metric or several; None is the estimator's own ``score``.
    n_jobs : int or None, default=None
        Processes that share the candidates out, or the folds where steps come before the
        model. One process, as with None, uses all cores, and for models of few parameters
        that is mostly as fast.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows; of several metrics the name of the one
        to choose by, or a function of ``cv_results_`` that returns the best index.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in RandomizedSearchCV; None is 5, stratified.
    verbose : int, default=0
        How much is printed about candidates, as in RandomizedSearchCV.
    pre_dispatch : int or str, default="2*n_jobs"
        Jobs that are handed out ahead, as in RandomizedSearchCV.
    random_state : int, RandomState instance or None, default=None
        Drives the drawing.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails, with a warning; ``"raise"`` raises its error.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores on the train rows as well.
    refit_epochs : {"best"} or None, default=None
        ``"best"`` takes, of all candidates and numbers of epochs, the pair with the highest
        mean test score, and refits for that number: ``max_iter`` is tuned without a fit for
        each value. The schedule stays that of the candidate's ``max_iter`` epochs, of which
        the first are done. All candidates must have been batched in every fold. None refits
        for as many epochs as the candidate asks for.
    working_memory : float, default=None
        MiB that the models of one run may take beside the rows; more models are trained in
        several runs. None is ``sklearn.get_config()["working_memory"]``, 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        As in scikit-learn. Beside it, ``split<i>_test_<metric>_by_epoch`` and
        ``mean_test_<metric>_by_epoch`` hold, for each candidate, an array of the scores after
        every epoch (of L-BFGS, iteration), with ``metric`` being ``score`` where there is
        one only. Where a fold ended earlier than others, its final score goes on. A
        candidate that was evaluated one by one in some fold has an empty array; where all
        were, there are no such columns.
        ``mean_fit_time`` and ``mean_score_time`` are the model's share of its run.
    batched_ : ndarray of shape (n_candidates,) of bool
        Whether a candidate shared its runs with others, in every fold.
    best_estimator_, best_score_, best_params_, best_index_, refit_time_, scorer_, n_splits_
        As in scikit-learn.
    best_n_epochs_ : int
        Epochs of the refit; only with ``refit_epochs="best"``, when ``best_score_`` is the
        mean test score after so many.
    multimetric_, classes_, n_features_in_, feature_names_in_
        As in scikit-learn.

    See Also
    --------
    BatchedGridSearchCV : The same over a grid, with all notes.
    sklearn.model_selection.RandomizedSearchCV : What this goes by.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import BatchedRandomizedSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=20, tol=None, random_state=0)
    >>> search = BatchedRandomizedSearchCV(
    ...     model, {"learning_rate_init": loguniform(1e-4, 1)}, n_iter=16, random_state=0
    ... )
    >>> print(f"{search.fit(X / 16, y).best_score_:.2f}")
    0.93
    """

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
        self.refit_epochs = refit_epochs
        self.working_memory = working_memory

    @fit_context
    def fit(self, X, y=None, **params):
        """Train and score all candidates, and refit the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; uint8 are pixels.
        y : array-like of shape (n_samples,), default=None
            Labels; None for estimators that need none.
        **params : dict
            Parameters of the estimator's ``fit``, of the scorer and of the splitter, as in
            scikit-learn.

        Returns
        -------
        self : BatchedRandomizedSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is not as described, all fits fail, or any with
            ``error_score="raise"``; if ``refit_epochs="best"`` and there is nothing to
            choose from, or ``early_stopping`` chooses already.
        """
        settings = ParameterSampler(
            self.param_distributions, self.n_iter, random_state=self.random_state
        )
        fit_search(self, X, y, params, settings)
        return self
