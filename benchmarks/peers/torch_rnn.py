"""The linear RNN in PyTorch, unrolled by hand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.comparisons import Missing


def _torch() -> Any:
    """PyTorch, which need not be installed until something is asked of it."""
    return importlib.import_module("torch")


def device() -> Any:
    """Where PyTorch computes: the kind of device that JAX has.

    Raises:
      ImportError: if PyTorch is not installed.
      Missing: if it is not built for that kind of device.
    """
    torch = _torch()
    platform = jax.devices()[0].platform
    if platform == "cpu":
        return torch.device("cpu")
    if platform == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    raise Missing(f"this PyTorch, {torch.__version__}, has no device like JAX's {platform}")


def tensor(array: Any) -> Any:
    """A copy of an array where PyTorch computes."""
    torch = _torch()
    return torch.tensor(np.asarray(array), device=device())


def weights(params: Any) -> tuple[Any, Any, Any]:
    """Our parameters ``W``, ``F`` and ``C`` as tensors."""
    w, f, c = (tensor(params["params"][name]) for name in "WFC")
    return w, f, c


def to_ours(parts: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Tensors as our parameters."""
    return {"params": {k: v.detach().cpu().numpy() for k, v in zip("WFC", parts, strict=True)}}


def recurrence(*, compiled: bool = False) -> Callable[..., Any]:
    """``outputs(W, F, C, x)``, with the products of inputs and of outputs for all times at once.

    Args:
      compiled: whether ``torch.compile`` makes it, for its shapes alone, with nothing of earlier
        ones left behind.
    """
    torch = _torch()
    linear, stack = torch.nn.functional.linear, torch.stack

    def outputs(w: Any, f: Any, c: Any, x: Any) -> Any:
        scale = w.shape[0] ** -0.5
        forcing = linear(x, f)
        h = forcing[:, 0]
        states = [h]
        for t in range(1, x.shape[1]):
            h = linear(h, w) * scale + forcing[:, t]
            states.append(h)
        return linear(stack(states, 1), c) * scale

    if not compiled:
        return outputs
    torch._dynamo.reset()
    return torch.compile(outputs, dynamic=False)


def kernel(params: Any, x: Any) -> Any:
    """The tangent kernel by ``torch.func.jacrev``, a sequence at a time, ``(N, N, T, T)``."""
    torch = _torch()
    jacrev, vmap = torch.func.jacrev, torch.func.vmap

    outputs = recurrence()

    def one(w: Any, f: Any, c: Any, sequence: Any) -> Any:
        return outputs(w, f, c, sequence[None])[0]

    with torch.no_grad():
        jacobians = vmap(jacrev(one, argnums=(0, 1, 2)), (None, None, None, 0))(*params, x)
        num, seq_len, out_dim = jacobians[0].shape[:3]
        flat = [jac.reshape(num * seq_len, -1) for jac in jacobians]
        gram = sum(a @ a.T for a in flat) / out_dim
    finish()
    return gram.reshape(num, seq_len, num, seq_len).permute(0, 2, 1, 3)


def train(forward: Any, params: Any, data: Any, batches: Any, rate: float) -> Any:
    """Gradient descent on ``1/2 sum ||y_hat - y||^2``, from a copy of the parameters.

    Args:
      forward: of :func:`recurrence`.
      params: where to start.
      data: all inputs and targets.
      batches: rows of the data that each step takes, or ``None`` for all.
      rate: the learning rate.
    """
    torch = _torch()
    parts = [part.clone().requires_grad_() for part in params]
    for rows in batches:
        x, y = data if rows is None else (data[0][rows], data[1][rows])
        loss = 0.5 * ((forward(*parts, x) - y) ** 2).sum()
        gradients = torch.autograd.grad(loss, parts)
        with torch.no_grad():
            for part, gradient in zip(parts, gradients, strict=True):
                part.sub_(gradient, alpha=rate)
    finish()
    return tuple(parts)


def finish() -> None:
    """Waits for a device that computes in the background."""
    torch = _torch()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
