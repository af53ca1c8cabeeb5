"""One array, one number: what is taken for numbers anywhere comes through `checks.number` and `checks.numbers`."""

import jax.numpy as jnp
import numpy as np
import pandas as pd

from pyloric_simulator.engine import checks

from . import Case, mistyped, refused

HALF = jnp.ones(3, jnp.float16)
BRAIN = np.asarray(jnp.zeros(3, jnp.bfloat16))

CASES: dict[str, Case] = {
    "number: Boolean": mistyped(lambda: checks.number("dt", True, "ms"), "True", "number in ms"),
    "number: NumPy's Boolean": mistyped(lambda: checks.number("dt", np.True_, "ms"), "True", "number in ms"),
    "number: text": mistyped(lambda: checks.number("dt", "0.05", "ms"), "'0.05'", "number in ms"),
    "number: complex": mistyped(lambda: checks.number("dt", 1j, "ms"), "1j", "number in ms"),
    "number: None": mistyped(lambda: checks.number("dt", None, "ms"), "None", "number in ms"),
    "number: half precision": mistyped(lambda: checks.number("dt", np.float16(0.1), "ms"), "float16"),
    "number: NaN": refused(lambda: checks.number("dt", float("nan"), "ms"), "nan", "finite"),
    "number: infinite": refused(lambda: checks.number("dt", -np.inf, "ms"), "-inf", "finite"),
    "number: an array of one": mistyped(lambda: checks.number("dt", np.ones(1), "ms"), "ndarray"),
    "number: an array without axes, NaN": refused(lambda: checks.number("dt", np.array(np.nan), "ms"), "nan", "finite"),
    "number: an array without axes, Boolean": mistyped(lambda: checks.number("dt", np.array(True), "ms"), "True"),
    "number: a duration": mistyped(lambda: checks.number("dt", pd.Timedelta("1ms"), "ms"), "Timedelta"),
    "array: truth values": mistyped(lambda: checks.numbers("x", np.array([True, False])), "truth values"),
    "array: a list with a truth value": mistyped(lambda: checks.numbers("x", [1.0, True]), "True", "truth values"),
    "array: complex": mistyped(lambda: checks.numbers("x", np.array([1j])), "complex"),
    "array: text": mistyped(lambda: checks.numbers("x", ["1", "2"]), "text", "'1'"),
    "array: dates": mistyped(lambda: checks.numbers("x", pd.date_range("2020", periods=2)), "dates"),
    "array: durations": mistyped(lambda: checks.numbers("x", pd.to_timedelta([1, 2], unit="s")), "durations"),
    "array: half precision": mistyped(lambda: checks.numbers("x", np.ones(3, np.float16)), "float16", "float64"),
    "array: JAX's half precision": mistyped(lambda: checks.numbers("x", HALF), "float16"),
    "array: brain floats": mistyped(lambda: checks.numbers("x", BRAIN), "x is"),
    "array: masked": refused(lambda: checks.numbers("x", np.ma.masked_equal([1.0, 2.0], 2.0)), "1 masked", "filled"),
    "array: nullable": refused(lambda: checks.numbers("x", pd.array([1.0, None], dtype="Float64")), "missing"),
    "array: nullable truth values": mistyped(
        lambda: checks.numbers("x", pd.array([True, False], dtype="boolean")), "x"
    ),
    "array: objects": mistyped(lambda: checks.numbers("x", np.array([1, "a"], object)), "'a'", "a str"),
    "array: None among numbers": refused(lambda: checks.numbers("x", np.array([1, None], object)), "missing"),
    "array: truth values in objects": mistyped(
        lambda: checks.numbers("x", np.array([1.0, True], object)), "True", "bool"
    ),
    "array: ragged": mistyped(lambda: checks.numbers("x", [[1, 2], [3]]), "[[1, 2], [3]]", "numbers"),
    "array: a mapping": mistyped(lambda: checks.numbers("x", {"a": 1}), "{'a': 1}", "numbers"),
}
