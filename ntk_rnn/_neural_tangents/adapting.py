"""What neural-tangents' own modules need replaced: names that changed their meaning elsewhere."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np


def adapt(empirical: Any) -> None:
    """Replaces, in neural-tangents' own module, what uses names of JAX that changed meaning."""
    # ad.linearize has another signature and another result; the public jax.linearize does it.
    empirical._get_primals_out_and_pullback = functools.partial(_pullback, empirical._backward_pass)
    # ad.reducing_transposes and Primitive.map_primitive were removed; jax.linear_transpose is
    # the public way to transpose one equation.
    empirical._eqn_vjp_fn = _transpose
    # ad.source_info_util is private now: only the names of operations in profiles need it.
    # ad.config is jax.config; its one use is a check of types that calls removed functions.
    empirical.ad = _overlay(
        empirical.ad,
        source_info_util=types.SimpleNamespace(
            transform_name_stack=lambda name: contextlib.nullcontext()
        ),
        config=types.SimpleNamespace(jax_enable_checks=False),
    )
    # core.DShapedArray, shapes with variables in them, was removed: nothing is an instance of it.
    empirical.core = _overlay(empirical.core, DShapedArray=type("DShapedArray", (), {}))
    # jnp.size and jnp.shape will take arrays only; neural-tangents passes what stands for one.
    empirical.jnp = _overlay(empirical.jnp, size=lambda a: math.prod(_shape(a)), shape=_shape)
    # Compiled.cost_analysis returns a dict where it returned a list of one dict.
    empirical._get_flops = _count_flops
    empirical.print = lambda *args, **kwargs: None  # AUTO prints what it counted


def adapt_predict(predict: Any) -> None:
    """Replaces what `neural_tangents.predict` uses of JAX and SciPy that changed meaning."""
    import scipy
    import scipy.linalg

    # core.eval_context took what is traced as well; now only what is concrete can be in it. Here
    # that is decided where it is used, in functions that are cached.
    core = _overlay(jax.core, eval_context=contextlib.nullcontext)
    predict.jax = _overlay(jax, core=core)
    predict.lru_cache = _cached_if_concrete

    # The argument `eigvals` of scipy.linalg.eigvalsh was removed in SciPy 1.14.
    def eigvalsh(matrix: Any, eigvals: tuple[int, int]) -> Any:
        return scipy.linalg.eigvalsh(matrix, subset_by_index=eigvals)

    predict.sp = _overlay(scipy, linalg=_overlay(scipy.linalg, eigvalsh=eigvalsh))


def _cached_if_concrete(maxsize: int) -> Callable[..., Any]:
    """`functools.lru_cache` for functions within functions of kernels, which may be traced.

    What a function has computed from tracers is of one trace, and wrong in any other.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.lru_cache(maxsize)
        def evaluated(*args: Any) -> Any:
            with jax.ensure_compile_time_eval():
                return function(*args)

        @functools.wraps(function)
        def either(*args: Any) -> Any:
            enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
            arrays = jax.tree.leaves((enclosed, args))
            traced = any(isinstance(array, jax.core.Tracer) for array in arrays)
            return function(*args) if traced else evaluated(*args)

        return either

    return decorate


def _overlay(module: types.ModuleType, **names: Any) -> types.ModuleType:
    """A copy of a module with some of its names replaced, for one other module to use."""
    copy = types.ModuleType(module.__name__)
    vars(copy).update(vars(module) | names)
    return copy


def _shape(array: Any) -> tuple[int, ...]:
    return array.shape if hasattr(array, "shape") else np.shape(array)


def _pullback(
    backward_pass: Callable[..., Any],
    fun: Callable[..., Any],
    mode: Any,
    _j_rules: bool,
    _s_rules: bool,
    _fwd: bool | None,
    *primals: Any,
) -> tuple[Any, Callable[..., Any]]:
    """Outputs of `fun`, and the map from their cotangents to what `mode` asks for."""
    from jax.interpreters.ad import UndefinedPrimal

    with jax.disable_jit():  # unrolls loops, as the rules know only single operations
        outputs, tangent_map = jax.linearize(fun, *primals)
        tangents = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), primals)
        closed = jax.make_jaxpr(tangent_map)(*tangents)
    jaxpr, consts, is_linear = _tangent_equations(closed)

    def pullback(*cotangents: Any) -> Any:
        flat = itertools.compress(jax.tree.leaves(cotangents), is_linear)
        collected = backward_pass(
            jaxpr,
            mode=mode,
            consts=consts,
            primals_in=[UndefinedPrimal(v.aval) for v in jaxpr.invars],
            cotangents_in=tuple(flat),
            _j_rules=_j_rules,
            _s_rules=_s_rules,
            _fwd=_fwd,
        )
        return jax.tree.unflatten(jax.tree.structure(primals), collected)

    return outputs, pullback


def _tangent_equations(closed: Any) -> tuple[types.SimpleNamespace, list[Any], list[bool]]:
    """The part of a tangent map that depends on the tangents.

    Returns:
      That part with the attributes of a jaxpr, the values of its `constvars`, and which outputs
      of the tangent map it has.
    """
    from jax.extend.core import Literal

    linear = set(closed.jaxpr.invars)
    known = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    equations = []
    for eqn in closed.jaxpr.eqns:
        if any(v in linear for v in eqn.invars if not isinstance(v, Literal)):
            if any(jnp.issubdtype(v.aval.dtype, jnp.complexfloating) for v in eqn.outvars):
                # The rules would contract complex derivatives without taking the real part.
                raise NotImplementedError(f"{eqn.primitive} has complex values")
            equations.append(eqn)
            linear.update(eqn.outvars)
        else:  # for example zeros that were broadcast, of which the rules need the values
            operands = [v.val if isinstance(v, Literal) else known[v] for v in eqn.invars]
            values = eqn.primitive.bind(*operands, **eqn.params)
            values = values if eqn.primitive.multiple_results else [values]
            known.update(zip(eqn.outvars, values, strict=True))
    is_linear = [not isinstance(v, Literal) and v in linear for v in closed.jaxpr.outvars]
    jaxpr = types.SimpleNamespace(
        constvars=list(known),
        invars=closed.jaxpr.invars,
        outvars=list(itertools.compress(closed.jaxpr.outvars, is_linear)),
        eqns=equations,
    )
    return jaxpr, list(known.values()), is_linear


def _transpose(eqn: Any, cotangent: Any, *operands: Any) -> Any:
    """Cotangents of the linear operands of one equation, `None` for the others."""
    from jax.core import ShapedArray
    from jax.interpreters.ad import UndefinedPrimal, Zero

    if eqn is None:  # the identity
        return (cotangent,)
    if isinstance(cotangent, Zero):
        return [Zero(v.aval) for v in eqn.invars]
    # Without its rules of structure, neural-tangents leaves out axes of length 1.
    shape = eqn.outvars[0].aval.shape
    if math.prod(shape) == math.prod(cotangent.shape):
        cotangent = jnp.reshape(cotangent, shape)
    linear = [i for i, v in enumerate(operands) if isinstance(v, UndefinedPrimal)]

    def apply(*values: Any) -> Any:
        # Where only the shape of an operand matters, neural-tangents passes the shape.
        full = [jnp.zeros(v.shape, v.dtype) if isinstance(v, ShapedArray) else v for v in operands]
        for i, value in zip(linear, values, strict=True):
            full[i] = value
        out = eqn.primitive.bind(*full, **eqn.params)
        return out[0] if eqn.primitive.multiple_results else out

    avals = [operands[i].aval for i in linear]
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
    cotangents: list[Any] = [None] * len(operands)
    for i, value in zip(linear, jax.linear_transpose(apply, *shapes)(cotangent), strict=True):
        cotangents[i] = value
    return cotangents


def _count_flops(fun: Callable[..., Any], optimize: bool, *args: Any, **kwargs: Any) -> float:
    """Floating-point operations of `fun` as compiled; infinite where it does not compile."""
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)), args)
    try:
        stage: Any = jax.jit(fun).lower(*shapes, **kwargs)
        analysis = (stage.compile() if optimize else stage).cost_analysis()
    except Exception:  # AUTO then takes another implementation
        return float("inf")
    if isinstance(analysis, list):
        analysis = analysis[0]
    return float(analysis.get("flops", float("inf")))
