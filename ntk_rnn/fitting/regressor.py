"""``fit`` by the conventions of scikit-learn, which need not be installed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import host_array
from ntk_rnn.data.recordings import Recording
from ntk_rnn.fitting.predictions import means, score
from ntk_rnn.fitting.samples import Samples
from ntk_rnn.fitting.tuning import Kernel, fit


class ImpulseResponseRegressor:
    """The outputs of a recording from its present and past inputs; an estimator of scikit-learn.

    Rows are times in their order (eq. 5), so they must not be shuffled: use ``TimeSeriesSplit``, or
    ``GroupKFold`` with the trials as groups. To keep trials apart, a column of ``X`` says which
    trial a row belongs to (``group_column``); it is no input.

    The first ``T - 1`` rows of each trial are not fitted to, but every row has a prediction: there,
    inputs before a trial count as the mean of that input in the training data.

    Args:
      seq_len: number of lags, or several to choose from, or ``"auto"``, as ``fit`` takes them.
      kernel: name of the prior, or ``"auto"``.
      delay: lags before the first that may differ from 0.
      shared: whether the inputs of an output share their hyper-parameters.
      group_column: the column of ``X`` with the trial of each row; one continuous recording if
        ``None``.

    Attributes:
      fit_: the ``ImpulseFit``.
      n_features_in_: number of columns of ``X``.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rng = np.random.default_rng(0)
      >>> X = rng.normal(size=(500, 1))
      >>> y = X[:, 0] + 0.5 * np.roll(X[:, 0], 1) + 0.1 * rng.normal(size=500)
      >>> model = nr.ImpulseResponseRegressor(seq_len=5, kernel="tc").fit(X[:400], y[:400])
      >>> model.predict(X[400:]).shape
      (100,)
      >>> bool(model.score(X[400:], y[400:]) > 0.9)
      True
    """

    def __init__(
        self,
        seq_len: int | Sequence[int] | Literal["auto"] = "auto",
        *,
        kernel: Kernel = "auto",
        delay: int | Sequence[int] | Int[AnyArray, " n_x"] = 0,
        shared: bool | None = None,
        group_column: int | None = None,
    ) -> None:
        self.seq_len: int | Sequence[int] | Literal["auto"] = seq_len
        self.kernel: Kernel = kernel
        self.delay = delay
        self.shared = shared
        self.group_column = group_column

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments with which it was made; ``deep`` makes no difference."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> ImpulseResponseRegressor:
        """Sets arguments by name; raises ``ValueError`` for other names."""
        names = list(self.get_params())
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"params must be among {', '.join(names)}, got {_checks.shown(name)}"
                )
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any) -> ImpulseResponseRegressor:
        """Fits to the rows of a recording.

        Args:
          X: inputs, and the column of trials if there is one, shape ``(rows, columns)``.
          y: outputs, shape ``(rows,)`` or ``(rows, n_y)``.

        Returns:
          Itself.

        Raises:
          ValueError: as ``ntk_rnn.fit``, and if shapes do not match.
        """
        x, pieces = self._inputs(X)
        outputs = _outputs(y, len(x))
        if len(x) < 2:
            raise ValueError("X must have at least 2 rows, got 1 sample; pass more of them")
        self._mean, self._flat = x.mean(axis=0), outputs.ndim == 1
        recording = Recording(x - self._mean, outputs.reshape(len(x), -1), pieces, seq_len=1)
        self.fit_ = fit(
            recording, self.seq_len, kernel=self.kernel, delay=self.delay, shared=self.shared
        )
        self.n_features_in_ = self._columns(x)
        self._names = _column_names(X)
        return self

    def predict(self, X: Any) -> Float[np.ndarray, " *shape"]:
        """Outputs for each row.

        Args:
          X: inputs as in ``fit``, shape ``(rows, columns)``.

        Returns:
          Shape ``(rows,)`` or ``(rows, n_y)``, as ``y`` was in ``fit``.

        Raises:
          ValueError: if it is not fitted, or the number of columns is another one, or the names
            of those of a data frame are.
        """
        if not self.__sklearn_is_fitted__():
            raise _not_fitted(self)
        x, pieces = self._inputs(X)
        if self._columns(x) != self.n_features_in_:
            raise ValueError(
                f"X has {self._columns(x)} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        names = _column_names(X)
        if names and self._names and names != self._names:
            raise ValueError(
                "X must have the columns of fit in their order: The feature names should match "
                f"those that were passed during fit, {self._names}, got {names}; select them by "
                "X[[...]]"
            )
        # At rest about the means, so that inputs before a trial are those.
        none = np.zeros((len(x), 0))
        samples = Samples(x - self._mean, none, np.ones(len(x)), pieces, at_rest=True)
        outputs = means(self.fit_.impulse_response, self.fit_.offset, samples)
        return outputs[:, 0] if self._flat else outputs

    def score(self, X: Any, y: Any) -> float:
        """``R^2 = 1 - |y - y_hat|^2 / |y - mean|^2`` over all rows, the mean of all outputs."""
        predicted = self.predict(X)
        rows = len(predicted)
        targets = _outputs(y, rows).reshape(rows, -1)
        return float(score(predicted.reshape(rows, -1), targets, np.ones(rows)).r_squared.mean())

    def _columns(self, x: np.ndarray) -> int:
        """Number of columns of ``X`` with inputs ``x``."""
        return x.shape[1] + (self.group_column is not None)

    def _inputs(self, X: Any) -> tuple[np.ndarray, Int[np.ndarray, " P"]]:
        """Inputs without the column of trials, and the rows with which trials begin."""
        values = _numbers("X", X)
        if values.ndim != 2:
            raise ValueError(
                f"X must have shape (rows, columns), got shape {values.shape}. Reshape your data: "
                "X.reshape(-1, 1) for one input"
            )
        if 0 in values.shape:
            found = f"0 feature(s) (shape={values.shape})" if values.shape[0] else "0 sample(s)"
            raise ValueError(f"X must not be empty, got {found} while a minimum of 1 is required.")
        _checks.finite("X", values)
        if self.group_column is None:
            return values, np.zeros(1, int)
        column = _checks.integer("group_column", self.group_column, least=0)
        if column >= values.shape[1] or values.shape[1] == 1:
            raise ValueError(
                f"group_column must be one of the {values.shape[1]} columns of X beside inputs, "
                f"got {column}; count from 0"
            )
        trials = values[:, column]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(trials) != 0) + 1])
        return np.delete(values, column, axis=1), starts

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, multi_output=True),
            regressor_tags=RegressorTags(),
        )

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"


def _column_names(X: Any) -> list[str]:
    """The names of the columns of a data frame; none where they are not all texts."""
    names: list[Any] = list(getattr(X, "columns", ()))
    return names if all(isinstance(name, str) for name in names) else []


def _numbers(name: str, value: Any) -> np.ndarray:
    """An array in float64, with the words that scikit-learn looks for in messages."""
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name} must be a dense array, got {type(value).__name__}: sparse data are not "
            f"supported; pass {name}.toarray()"
        )
    array = np.asarray(value) if hasattr(value, "__array__") else value
    kind = getattr(array, "dtype", np.dtype(float)).kind
    if kind == "c":
        raise ValueError(f"{name} must be real: Complex data not supported; pass its real part")
    if kind == "O":
        array = array.astype(np.float64)
    return host_array(name, array)[0]


def _outputs(y: Any, rows: int) -> np.ndarray:
    if y is None:
        raise ValueError("y must be given: fit requires y to be passed, but the target y is None")
    values = _numbers("y", y)
    if values.ndim not in (1, 2) or len(values) != rows:
        raise ValueError(
            f"y must have shape ({rows},) or ({rows}, n_y), one row for each of X, got shape "
            f"{values.shape}"
        )
    _checks.finite("y", values)
    return values


def _not_fitted(model: ImpulseResponseRegressor) -> Exception:
    """What scikit-learn raises where it is installed, which is a ``ValueError``, too."""
    message = f"X cannot be predicted from: this {type(model).__name__} is not fitted; call fit"
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return ValueError(message)
    return NotFittedError(message)
