"""What follows from a fit: predictions with bands, scores, other responses, RNNs and files."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import freqz

import ntk_rnn as nr

ROOT = Path(__file__).parents[2]
T = 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 1.0, size=(6, 40, 2))
    true = np.stack([0.6 ** np.arange(T), -0.5 * 0.8 ** np.arange(T)], axis=1)
    true = np.stack([true, 0.3 * true[::-1]], axis=1)
    y = np.asarray(nr.causal_conv(true, x), np.float64)
    return x, y + np.array([3.0, -1.0]) + 0.3 * rng.normal(size=(6, 40, 2))


@pytest.fixture(scope="module")
def fit(data):
    return nr.fit(data, seq_len=T, kernel="tc", interval=0.05)


def test_predictions_are_offset_and_convolution(data, fit, tol):
    x, _ = data
    wanted = fit.offset + np.asarray(nr.causal_conv(fit.impulse_response, x), np.float64)
    np.testing.assert_allclose(fit.predict(x), wanted, rtol=0, atol=100 * tol)
    rows = fit.predict(x[0])
    assert np.all(np.isnan(rows[: T - 1])) and np.all(np.isfinite(rows[T - 1 :]))
    np.testing.assert_allclose(rows[T - 1 :], fit.predict(x)[0, T - 1 :], rtol=1e-12)
    recording = nr.data.Recording(x[:2].reshape(-1, 2), np.ones((80, 1)), np.array([0, 40]), T)
    np.testing.assert_allclose(
        fit.predict(recording)[40 + T - 1 :], fit.predict(x)[1, T - 1 :], rtol=1e-12
    )


def test_deviations_of_predictions_by_the_covariance(data, fit):
    """Of the last step: ``(a - mean)^T C (a - mean)``, and the noise of the mean of samples."""
    x, _ = data
    _, deviation = fit.predict(x, return_std=True)
    window = x[2, : -T - 1 : -1] - fit.triangle.x_mean
    variance = np.einsum("tq,ptqsr,sr->p", window, fit.covariance, window)
    variance += fit.noise**2 / fit.triangle.num_samples
    np.testing.assert_allclose(deviation[2, -1] ** 2, variance, rtol=1e-9)


def test_bands_with_noise_cover_the_data(fit, data):
    x, y = data
    mean, deviation = fit.predict(x, return_std=True)
    covered = np.mean(np.abs(y - mean) < 1.96 * np.hypot(deviation, fit.noise))
    assert 0.92 < covered < 0.98


def test_scores_are_their_equations(data, fit):
    x, y = data
    errors, spread = y - fit.predict(x), y - y.mean(axis=(0, 1))
    score = fit.score(x, y)
    ratio = np.sum(errors**2, axis=(0, 1)) / np.sum(spread**2, axis=(0, 1))
    np.testing.assert_allclose(score.r_squared, 1 - ratio, rtol=1e-12)
    np.testing.assert_allclose(score.fit, 100 * (1 - np.sqrt(ratio)), rtol=1e-12)
    recording = nr.data.Recording(x[0], y[0], np.array([0]), T)
    known, wanted = y[0, T - 1 :], fit.predict(x[0])[T - 1 :]
    ratio = np.sum((known - wanted) ** 2, axis=0) / np.sum((known - known.mean(0)) ** 2, axis=0)
    np.testing.assert_allclose(fit.score(recording).r_squared, 1 - ratio, rtol=1e-12)


def test_frequency_response_is_that_of_scipy(fit):
    found = fit.frequency_response(num=33)
    assert found.frequency[-1] == pytest.approx(10.0)  # half of the rate of 20
    for p in range(2):
        for q in range(2):
            angles = np.linspace(0, np.pi, 33)
            _, wanted = freqz(fit.impulse_response[:, p, q], worN=angles)
            np.testing.assert_allclose(found.response[:, p, q], wanted, atol=1e-12)


def test_deviations_of_steps_and_frequencies_by_sampling(fit):
    """Within 5 standard errors of 4000 draws of the response."""
    rng, draws = np.random.default_rng(0), 4000
    covariance = fit.covariance[0].reshape(2 * T, 2 * T)
    drawn = rng.multivariate_normal(fit.impulse_response[:, 0].ravel(), covariance, size=draws)
    drawn = drawn.reshape(draws, T, 2)
    allowed = 5 / np.sqrt(2 * draws)
    step, frequency = fit.step_response(), fit.frequency_response(num=9)
    found = np.cumsum(drawn, axis=1)
    np.testing.assert_allclose(
        found.std(axis=0), step.standard_deviation[:, 0], rtol=allowed, atol=1e-12
    )
    np.testing.assert_allclose(step.response, np.cumsum(fit.impulse_response, axis=0))
    waves = np.fft.rfft(drawn, n=16, axis=1)
    np.testing.assert_allclose(
        waves.std(axis=0), frequency.standard_deviation[:, 0], rtol=2 * allowed
    )


def test_memory_of_white_inputs_is_that_of_the_response():
    """For inputs that are exactly white, 95 % of the sum of squares."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    y = np.convolve(x, 0.8 ** np.arange(30))[:20_000] + 0.1 * rng.normal(size=20_000)
    fit = nr.fit((x, y), seq_len=30, kernel="tc")
    wanted = int(np.argmax(1 - 0.64 ** np.arange(31) >= 0.95 * (1 - 0.64**30)))
    assert abs(int(fit.memory[0]) - wanted) <= 1


def test_realized_rnn_has_the_response_within_its_uncertainty(fit):
    params = fit.realize()
    width = len(params["params"]["W"])
    assert width < T * 2
    found = np.asarray(nr.impulse_response(params, T))
    error = np.linalg.norm(found - fit.impulse_response)
    assert error < 2 * np.linalg.norm(fit.standard_deviation)
    assert fit.realize(order=2)["params"]["W"].shape == (2, 2)


def test_training_is_gradient_descent_on_the_same_data(data, dtype, tol):
    """Compared with lag weights on the sequences, both without an offset."""
    x, y = data
    fit = nr.fit((x, y), seq_len=40, kernel="tc", offset=False)
    rho = nr.lag_weights(40, 0.3, 1.0, 1.0)
    kernel = nr.kernel_regression(rho, (x, y), on_host=True)
    eta = float(kernel.max_learning_rate) / 2
    wanted = kernel.impulse_response([1, 50], eta)
    found = fit.training([1, 50], 0.3, 1.0, 1.0, learning_rate=eta)
    np.testing.assert_allclose(found, wanted, atol=max(tol, 1e-9))


def test_training_of_a_fitted_rnn_needs_no_variances(data):
    fit = nr.fit(data, seq_len=T, kernel="rnn")
    assert fit.training(10).shape == (T, 2, 2)
    with pytest.raises(ValueError, match="nu_f must be given for a fit with kernel 'rnn'"):
        fit.training(10, nu_w=0.3)


def test_saved_fits_predict_the_same_bits_in_another_process(data, fit, tmp_path):
    x, _ = data
    fit.save(tmp_path / "model.npz")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np, ntk_rnn as nr; folder = sys.argv[1]; "
        "fit = nr.load(folder + '/model.npz'); x = np.load(folder + '/x.npy'); "
        "np.savez(folder + '/found.npz', *fit.predict(x, return_std=True)); print(fit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == repr(fit)
    with np.load(tmp_path / "found.npz") as found:
        for name, wanted in zip(("arr_0", "arr_1"), fit.predict(x, return_std=True), strict=True):
            np.testing.assert_array_equal(found[name], wanted)
    again = nr.load(tmp_path / "model.npz")
    for name in ("kernel", "evidence", "kernels", "lags", "interval"):
        assert getattr(again, name) == getattr(fit, name), name
    assert again.hyperparameters.keys() == fit.hyperparameters.keys()


def rewritten(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    for name, value in changes.items():
        (header if name in header else arrays)[name] = value
    arrays["header"] = np.array(json.dumps(header))
    np.savez(path, **arrays)


def test_other_files_are_refused_by_name(fit, tmp_path, unannotated):
    path = tmp_path / "model.npz"
    fit.save(path)
    whole = path.read_bytes()

    def refused(message):
        with pytest.raises(ValueError, match=rf"model\.npz.*{message}"):
            nr.load(path)

    for content in (b"", b"text", whole[:1000], whole[:-100]):
        path.write_bytes(content)
        refused("is damaged or another file")
    for place in range(100, len(whole) - 100, len(whole) // 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            loaded = nr.load(path)
        except ValueError as error:
            assert "model.npz" in str(error)
        else:  # a byte of the archive that says nothing of its contents, as a date
            np.testing.assert_array_equal(loaded.covariance, fit.covariance)
    np.savez(path, a=np.ones(3))
    refused("is damaged or another file")
    np.savez(path, header=np.array('{"format": "other"}'))
    refused("is another archive")
    np.savez(path, header=np.array([print], dtype=object))
    refused("is damaged or another file")
    path.write_bytes(whole)
    rewritten(path, version=2)
    refused("is of version 2; install a newer ntk_rnn")
    path.write_bytes(whole)
    rewritten(path, noise=np.ones(3))
    refused("do not belong together")
    path.write_bytes(whole)
    rewritten(path, kernels=[1])
    refused("lacks a part of it")
    path.unlink()
    refused("cannot be read")
    with pytest.raises(ValueError, match="path must be a file that can be written"):
        fit.save(tmp_path / "none" / "model.npz")


def test_a_fit_is_frozen_and_may_be_changed_by_replace(fit):
    changed = replace(fit, interval=1.0)
    assert changed.frequency_response(3).frequency[-1] == 0.5


def test_constant_outputs_have_no_score(data, fit):
    """Of 0.1 in all rows, rounding leaves squares about the mean."""
    x = np.asarray(data[0], np.float64)
    y = np.full((*x.shape[:-1], len(fit.noise)), 0.1)
    with pytest.raises(ValueError, match="y must vary where it is predicted, got output 0 const"):
        fit.score(x, y)


def test_recordings_in_other_units_or_another_order_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))

    def read(header, inputs):
        path = tmp_path / "r.csv"
        np.savetxt(path, rows, delimiter=",", header=header, comments="")
        return nr.data.from_csv(path, inputs, "y", seq_len=1)

    fit = nr.fit(read("u [N],v [µV],y [mm]", ["u", "v"]), 3, kernel="tc")
    for header in ("u [N],v [\u03bcV],y [mm]", "u,v,y", "force [N],v,y [mm]"):
        assert np.isfinite(fit.score(read(header, header.split(",")[:2])).r_squared).all()
    kilo = read("u [kN],v [µV],y [mm]", ["u", "v"])
    for ask in (fit.predict, fit.score):
        with pytest.raises(ValueError, match=r"inputs must be in the units.*'u \[N\]', got 'u \[k"):
            ask(kilo)
    with pytest.raises(ValueError, match=r"outputs must be in the units of the fit, 'y \[mm\]'"):
        fit.score(read("u [N],v [µV],y [m]", ["u", "v"]))
    with pytest.raises(ValueError, match="inputs must be in the order of the fit"):
        fit.predict(read("u [N],v [µV],y [mm]", ["v", "u"]))
