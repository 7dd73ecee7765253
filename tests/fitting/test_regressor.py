"""The estimator beside scikit-learn: its checks, cross-validation, and the fit that it holds."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import ntk_rnn as nr

# The rows of a recording are times, so their order and what is before them matter.
ORDERED = {
    "check_methods_sample_order_invariance": "rows are in the order of time",
    "check_methods_subset_invariance": "rows before a row explain it",
}


@pytest.fixture(scope="module")
def trials():
    """Ten trials of 40 rows, in columns (input, trial), and their outputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 1.0, size=(10, 40, 1))
    response = 0.6 ** np.arange(6.0).reshape(6, 1, 1)
    y = np.asarray(nr.causal_conv(response, x - 2), np.float64) + 0.2 * rng.normal(size=x.shape)
    return np.stack([x.ravel(), np.repeat(np.arange(10.0), 40)], axis=1), y.ravel()


def test_checks_of_scikit_learn(unannotated):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it inherits from none of their classes
        results = check_estimator(
            nr.ImpulseResponseRegressor(seq_len=3, kernel="tc"),
            expected_failed_checks=ORDERED, on_fail=None, on_skip=None,
        )  # fmt: skip
    statuses = {result["check_name"]: result["status"] for result in results}
    assert sum(status == "passed" for status in statuses.values()) > 40
    assert not [name for name, status in statuses.items() if status == "failed"]
    assert {name for name, status in statuses.items() if status == "xfail"} == set(ORDERED)


def test_cross_validation_over_trials_and_over_time(trials):
    X, y = trials
    model = nr.ImpulseResponseRegressor(seq_len=6, kernel="tc", group_column=1)
    scores = cross_val_score(model, X, y, groups=X[:, 1], cv=GroupKFold(5))
    assert scores.shape == (5,) and scores.min() > 0.9
    assert cross_val_score(model, X, y, cv=TimeSeriesSplit(3)).min() > 0.85
    pipeline = make_pipeline(StandardScaler(), clone(model).set_params(group_column=None))
    search = GridSearchCV(
        pipeline, {"impulseresponseregressor__kernel": ["tc", "di"]}, cv=TimeSeriesSplit(3)
    )
    assert search.fit(X[:, :1], y).best_score_ > 0.85


def test_it_holds_the_fit_of_the_trials(trials):
    """As ``fit`` of a recording in these pieces, about the means."""
    X, y = trials
    model = nr.ImpulseResponseRegressor(seq_len=6, kernel="tc", group_column=1).fit(X, y)
    recording = nr.data.Recording(
        X[:, :1] - X[:, :1].mean(), y[:, None], np.arange(0, 400, 40), seq_len=6
    )
    fit = nr.fit(recording, kernel="tc")
    np.testing.assert_array_equal(model.fit_.impulse_response, fit.impulse_response)
    known, found = fit.predict(recording)[:, 0], model.predict(X)
    inside = np.isfinite(known)
    assert inside.sum() == 350 and np.all(np.isfinite(found))
    np.testing.assert_allclose(found[inside], known[inside], rtol=1e-12)
    assert model.score(X[inside], y[inside]) > 0.9
    assert model.predict(X[:40]).tolist() == pytest.approx(found[:40].tolist())


@pytest.mark.parametrize(
    ("arguments", "X", "message"),
    [
        ({"group_column": 2}, np.ones((9, 2)), "group_column must be one of the 2 columns of X"),
        ({"group_column": 0}, np.ones((9, 1)), "group_column must be one of the 1 columns of X"),
        ({}, np.ones(9), "X must have shape .rows, columns., got shape .9,.. Reshape your data"),
        ({}, np.ones((8, 1)), "y must have shape .8,. or .8, n_y., one row for each of X"),
    ],
)
def test_bad_input_is_named(arguments, X, message, unannotated):
    with pytest.raises(ValueError, match=message):
        nr.ImpulseResponseRegressor(**arguments).fit(X, np.arange(9.0))


def test_other_arguments_and_unfitted_models_are_named(unannotated):
    model = nr.ImpulseResponseRegressor()
    with pytest.raises(ValueError, match=r"params must be among seq_len, .*got 'lags'"):
        model.set_params(lags=3)
    with pytest.raises(ValueError, match="is not fitted; call fit"):
        model.predict(np.ones((3, 1)))


def test_columns_of_a_frame_are_those_of_fit(trials):
    class Frame:
        """What data frames have in common."""

        def __init__(self, values, columns):
            self.values, self.columns = values, columns

        def __array__(self, dtype=None, copy=None):
            return np.array(self.values, dtype)

    X, y = trials
    frame = Frame(X, ["u", "v"])
    model = nr.ImpulseResponseRegressor(seq_len=3, kernel="tc").fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame), model.predict(X))
    with pytest.raises(ValueError, match=r"X must have the columns of fit in their order"):
        model.predict(Frame(X[:, ::-1], ["v", "u"]))
