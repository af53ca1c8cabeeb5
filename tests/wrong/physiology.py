"""What is done to cells: experiments at the electrode, clamps, noise, temperature, energy, regulation and phase response."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from networks import AXON, HH

from pyloric_simulator.files.results import SimResult
from pyloric_simulator.lab.current_clamp import current_clamp, fi_curve, input_resistance, rheobase
from pyloric_simulator.lab.dynamic_clamp import dynamic_clamp
from pyloric_simulator.lab.energy import atp, energy, power
from pyloric_simulator.lab.noise import EXCITATION, INHIBITION, OU, Bombardment, White, noisy
from pyloric_simulator.lab.phase_response import phase_response
from pyloric_simulator.lab.protocols import Ramp, Steps, Zap, step
from pyloric_simulator.lab.regulation import regulate
from pyloric_simulator.lab.snapshots import load_state, save_state
from pyloric_simulator.lab.temperature import Q10s, at_temperature, caplan, sweep_temperature
from pyloric_simulator.lab.voltage_clamp import activation, clamp_family, inactivation, voltage_clamp
from pyloric_simulator.models.channels import Prinz2003
from pyloric_simulator.models.networks import Cell, Network, Synapse
from pyloric_simulator.prinz2004 import GLUTAMATE

from . import Case, mistyped, refused, warned

PAIR = Network({"a": AXON, "b": AXON})
LEAK = Cell([HH.leak(0.3)], V=-54.387)
SLOW = Cell([Prinz2003.CaS(5), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
T = np.arange(0, 10, 0.5)
ONE = SimResult(np.zeros(1), type(PAIR.cold)(*(x[None] for x in PAIR.cold)), PAIR)
COARSE = SimResult(10.0 * np.arange(3), type(PAIR.cold)(*(np.stack([x] * 3) for x in PAIR.cold)), PAIR)
V_RECORDED = pd.Series([-65.0, -60.0], [0.0, 20.0])


def clamped(command: Any, **kwargs: Any) -> Callable[[], Any]:
    """A voltage clamp of the axon."""
    return lambda: voltage_clamp(AXON, T, command, **kwargs)


def injected(current: Any, model: Any = AXON, **kwargs: Any) -> Callable[[], Any]:
    """A current clamp."""
    return lambda: current_clamp(model, T, current, **kwargs)


def with_noise(**kwargs: Any) -> Callable[[], Any]:
    """The axon with noise."""
    return lambda: noisy(AXON, T, **kwargs)


def at_once(f: Callable[[], Any], *says: str) -> Case:
    """A call that would go on after a UserWarning, ended by it, so that nothing is compiled."""

    def call() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                f()
                return
            except UserWarning as warning:
                message = str(warning)
        warnings.warn(message, UserWarning, stacklevel=2)

    return warned(call, *says)


CASES: dict[str, Case] = {
    # temperature
    "temperature in K": refused(lambda: at_temperature(AXON, 283), "283", "subtract 273.15"),
    "temperature in K, warmed": refused(lambda: AXON.warmed(293.15), "293.15", "subtract 273.15"),
    "temperature in K, a network": refused(lambda: PAIR.warmed(283.0), "283", "K"),
    "temperature below zero": refused(lambda: at_temperature(AXON, -300), "-300", "absolute zero"),
    "temperature of an oven": refused(lambda: at_temperature(AXON, 80), "80", "between -5 and 60"),
    "temperature: NaN": refused(lambda: at_temperature(AXON, float("nan")), "nan", "finite"),
    "temperature: text": mistyped(lambda: at_temperature(AXON, "20"), "'20'", "°C"),
    "temperature: Boolean": mistyped(lambda: AXON.warmed(True), "True", "°C"),
    "temperature: None": mistyped(lambda: at_temperature(AXON, None), "None", "°C"),
    "sweep in K": refused(lambda: sweep_temperature(AXON, [283, 293]), "283", "subtract 273.15"),
    "sweep: NaN": refused(lambda: sweep_temperature(AXON, [10, np.nan]), "nan", "finite"),
    "sweep: very many": refused(lambda: sweep_temperature(AXON, np.linspace(5, 30, 100_000)), "100,000 temperatures", "GiB"),
    "sweep: duration in s": at_once(lambda: sweep_temperature(AXON, [10], duration=2, transient=1), "2 ms", "in s"),
    "sweep: nothing": refused(lambda: sweep_temperature(AXON, []), "[]", "list of finite numbers"),
    "sweep: transient after the end": refused(lambda: sweep_temperature(AXON, [10], duration=100, transient=500), "500", "Raise duration"),
    "sweep: no model": mistyped(lambda: sweep_temperature(None, [10]), "None", "Prinz2004"),
    "Q10: another channel": refused(lambda: at_temperature(AXON, 20, Q10s(m={"Kd": 2})), "'Kd'", "one of"),
    "Q10: negative": refused(lambda: at_temperature(AXON, 20, Q10s(m=-2)), "-2", "positive"),
    "Q10: zero for a name": refused(lambda: at_temperature(AXON, 20, Q10s(g={"Na": 0})), "g Na is 0", "positive"),
    "Q10: text": mistyped(lambda: at_temperature(AXON, 20, Q10s(h="2")), "'2'"),
    "Q10: NaN": refused(lambda: at_temperature(AXON, 20, Q10s(calcium=float("nan"))), "nan", "finite"),
    "Q10: in per cent": warned(lambda: at_temperature(AXON, 7, Q10s(m=200)), "200", "about 1 to 5"),
    "Q10: a number for the set": mistyped(lambda: at_temperature(AXON, 20, 2.0), "float", "TYPICAL"),  # type: ignore[arg-type]
    "Q10: gap junctions by name": mistyped(lambda: at_temperature(AXON, 20, Q10s(ge={"a": 2})), "ge", "one number"),  # type: ignore[arg-type]
    "Q10: influx as a number": mistyped(lambda: at_temperature(AXON, 20, Q10s(keeps_influx=2)), "int", "True or False"),  # type: ignore[arg-type]
    "Q10s at a temperature": mistyped(lambda: Q10s(T=10), "unexpected keyword argument 'T'"),  # type: ignore[call-arg]
    "drawn Q10s: channels as text": mistyped(lambda: caplan(0, "Na"), "'Na'", "list of names"),
    "drawn Q10s: a number": mistyped(lambda: caplan(0, 7), "7", "list of names"),  # type: ignore[arg-type]
    "drawn Q10s: no seed": mistyped(lambda: caplan(None), "None", "whole number"),  # type: ignore[arg-type]
    "drawn Q10s: negative seed": refused(lambda: caplan(-1), "-1", "at least 0"),
    # voltage clamp
    "clamp in V": at_once(clamped(-0.065), "0.065", "If it is in V, multiply it by 1000"),
    "clamp in V, steps": at_once(clamped(Steps((-0.07, 0.02), (5,))), "0.07", "in V"),
    "clamp in µV": refused(clamped(-65000.0), "6.5e+04", "If it is in µV")._replace(compiles=True),
    "clamp: NaN": refused(clamped(float("nan")), "nan", "finite"),
    "clamp: NaN in steps": refused(clamped(Steps((-65, np.nan), (5,))), "levels", "nan", "finite"),
    "clamp: NaN from a function": refused(clamped(lambda t: np.nan * t), "nan at 0 ms", "finite")._replace(compiles=True),
    "clamp: NaN recorded": refused(clamped(pd.Series([-65.0, np.nan], [0.0, 20.0])), "nan at 20 ms", "finite"),
    "clamp: an array": mistyped(clamped(np.full(20, -65.0)), "ndarray", "(times, values)"),
    "clamp: a result": mistyped(clamped(ONE), "SimResult", "result.V"),
    "clamp: text": mistyped(clamped("-65"), "'-65'", "number"),
    "clamp: Boolean": mistyped(clamped(True), "True", "number"),
    "clamp: None": mistyped(clamped(None), "None", "number"),
    "clamp: a function of NumPy": mistyped(clamped(lambda t: float(t)), "cannot be evaluated by JAX", "jax.numpy"),
    "clamp: a function of all cells": refused(clamped(lambda t: jnp.stack([t, t])), "shape (2,)", "must be a number"),
    "clamp: a recording that ends early": refused(clamped(pd.Series([-65.0, 0.0], [0.0, 5.0])), "0 to 5 ms", "must cover the run"),
    "clamp: a recording in s": refused(clamped(pd.Series([-65.0, 0.0], [0.0, 0.02])), "0 to 0.02 ms", "must cover the run"),
    "clamp: times and values of unequal length": refused(clamped(([0.0, 20.0], [-65.0])), "(2,)", "(1,)"),
    "clamp: steps after the end": refused(clamped(Steps((-65, 0), (500,))), "500 ms", "lasts from 0 to 10"),
    "clamp: times that go back": refused(clamped(Steps((-65, 0, -65), (5, 3))), "[5.0, 3.0]", "must increase"),
    "clamp: another cell": refused(lambda: voltage_clamp(PAIR, T, -65, cell="c"), "'c'", "one of 'a', 'b'"),
    "clamp: no cell named": refused(lambda: voltage_clamp(PAIR, T, -65), "2 cells", "must be named"),
    "clamp: a cell out of range": refused(lambda: voltage_clamp(PAIR, T, -65, cell=("a", 3)), "('a', 3)", "one of"),
    "family: NaN": refused(lambda: clamp_family(AXON, T, [-65.0, np.nan]), "nan", "finite")._replace(compiles=True),
    "family in V": at_once(lambda: clamp_family(AXON, T, [-0.065, 0.0]), "0.065", "in V"),
    "family: one command": mistyped(lambda: clamp_family(AXON, T, -65.0), "-65.0", "list"),  # type: ignore[arg-type]
    "family: nothing": mistyped(lambda: clamp_family(AXON, T, []), "[]", "one command at least"),
    "family: unknown option": mistyped(lambda: clamp_family(AXON, T, [-65.0], cells="cell"), "unexpected keyword argument 'cells'"),  # type: ignore[call-arg]
    "family: a step of 1 ms": refused(lambda: clamp_family(AXON, T, [-65.0], dt=1.0), "dt is 1 ms", "smaller step"),
    "family: very many": refused(lambda: clamp_family(AXON, np.arange(0, 1e4), [-65.0] * 5000), "5,000 commands", "GiB"),
    "levels in V": at_once(lambda: activation(AXON, "K", [-0.08, 0.02]), "0.08", "in V"),
    "levels: NaN": refused(lambda: activation(AXON, "K", [np.nan]), "nan", "finite"),
    "levels: text": mistyped(lambda: activation(AXON, "K", ["a"]), "'a'"),
    "levels of no gate": refused(lambda: inactivation(AXON, "K", [-65.0]), "no gate h", "Choose another"),
    "test pulse in V": at_once(lambda: inactivation(AXON, "Na", [-65.0], test=0.02), "0.02", "in V"),
    "dynamic clamp: a channel without a density": mistyped(lambda: dynamic_clamp(AXON, T, HH.K), "'K'", "density"),
    "dynamic clamp: text": mistyped(lambda: dynamic_clamp(AXON, T, "K"), "'K'", "a list"),
    "dynamic clamp: None": mistyped(lambda: dynamic_clamp(AXON, T, None), "None", "a list"),
    "dynamic clamp: a synapse in µS": at_once(
        lambda: dynamic_clamp(AXON, T, Synapse("recording", "cell", GLUTAMATE, 0.03), recording=V_RECORDED), "0.03 nS", "µS"
    ),
    "dynamic clamp: a recording in V": refused(
        lambda: dynamic_clamp(AXON, T, Synapse("recording", "cell", GLUTAMATE, 30), recording=V_RECORDED / 1000), "0.065", "in V"
    ),
    "dynamic clamp: onto another cell": refused(
        lambda: dynamic_clamp(AXON, T, Synapse("recording", "LP", GLUTAMATE, 30), recording=V_RECORDED), "'LP'", "'cell'"
    ),
    "dynamic clamp: S/cm²": at_once(lambda: dynamic_clamp(AXON, T, Prinz2003.A(0.02)), "A(0.02)", "S/cm²"),
    # current clamp
    "current in pA": at_once(injected({"cell": 500.0}), "500 nA", "If it is in pA, multiply it by 0.001"),
    "current in pA, a step": at_once(injected(step(500.0, 2, 5)), "500 nA", "pA"),
    "current in A": at_once(injected(2e-9), "2e-09", "If it is in A"),
    "current: NaN": refused(injected({"cell": np.nan}), "nan", "finite"),
    "current: NaN in a ramp": refused(injected(Ramp((0, np.nan), (2, 5))), "nan", "finite"),
    "current: infinite zap": refused(injected(Zap(np.inf, (1, 2), (2, 5))), "inf", "finite"),
    "current: a negative frequency": refused(injected(Zap(1, (-1, 2), (2, 5))), "-1", "none negative"),
    "current: a zap of three frequencies": refused(injected(Zap(1, (1, 2, 3), (2, 5))), "(1, 2, 3)", "two of each"),
    "current: a step that ends before it begins": refused(injected(step(1, 5, 2)), "[5.0, 2.0]", "must increase"),
    "current: a step after the end": refused(injected(step(1, 5, 200)), "200 ms", "lasts from 0 to 10"),
    "current: text in steps": mistyped(injected(Steps((0, "1"), (5,))), "levels"),
    "current: a Series that ends early": refused(injected(pd.Series([0.0, 1.0], [0.0, 5.0])), "0 to 5 ms", "must cover the run"),
    "current: a pair that begins late": refused(injected(([5.0, 20.0], [0.0, 1.0])), "5 to 20 ms", "must cover the run"),
    "current: a Series out of order": refused(injected(pd.Series([0.0, 1.0], [20.0, 0.0])), "that increase", "Sort"),
    "current: one level": mistyped(injected(Steps(1, (2,))), "levels 1", "lists"),
    "current: a ramp of one level": refused(injected(Ramp((0,), (1,))), "1 levels", "as many"),
    "current: a run of years": refused(lambda: current_clamp(AXON, [0.0, 5e7], 1.0), "1,000,000,001 steps", "GiB"),
    "current: another cell": refused(injected({"LP": 1.0}), "'LP'", "'cell'"),
    "current: a cell without a current": mistyped(injected({"cell": None}), "None", "number"),
    "current: no model": mistyped(injected(1.0, 7), "7", "Prinz2004"),
    "current: a start of other cells": refused(injected(1.0, AXON, state=PAIR.cold), "shape (2,)", "same circuit"),
    # f-I curves, rheobase, input resistance
    "f-I in pA": at_once(lambda: fi_curve(AXON, [100.0, 500.0]), "500 nA", "pA"),
    "f-I: a million currents": refused(lambda: fi_curve(AXON, np.linspace(0, 10, 1_000_000)), "1,000,000 currents", "GiB"),
    "f-I: a million stairs": refused(lambda: fi_curve(AXON, np.linspace(0, 10, 1_000_000), staircase=True), "1,000,000", "GiB"),
    "f-I: duration in s": at_once(lambda: fi_curve(AXON, [5.0], duration=1.0, transient=0.2), "1 ms", "If it is in s"),
    "f-I: transient after the end": refused(lambda: fi_curve(AXON, [5.0], duration=100, transient=200), "200", "Raise duration"),
    "f-I: NaN": refused(lambda: fi_curve(AXON, [np.nan]), "nan", "finite"),
    "f-I: nothing": refused(lambda: fi_curve(AXON, []), "[]", "list of finite numbers"),
    "f-I: Boolean": mistyped(lambda: fi_curve(AXON, [True, False]), "True"),
    "f-I: the number of the cell": refused(lambda: fi_curve(PAIR, [5.0], cell=0), "cell is 0", "one of 'a', 'b'"),
    "f-I: staircase as text": mistyped(lambda: fi_curve(AXON, [5.0], staircase="up"), "str", "True or False"),  # type: ignore[arg-type]
    "rheobase: finer than numbers": refused(lambda: rheobase(AXON, 5.0, tolerance=1e-18), "1e-18", "float64", "Take 0.001"),
    "rheobase: no tolerance": refused(lambda: rheobase(AXON, 5.0, tolerance=0), "0 nA", "positive"),
    "rheobase: reversed": refused(lambda: rheobase(AXON, 1.0, low=5.0), "from 5 to 1", "Exchange"),
    "rheobase in pA": at_once(lambda: rheobase(AXON, 500.0), "500 nA", "pA"),
    "rheobase: duration in s": at_once(lambda: rheobase(AXON, 5.0, duration=0.5), "0.5 ms", "in s"),
    "rheobase: an hour": refused(lambda: rheobase(AXON, 5.0, duration=3.6e6 * 12), "GiB", "shorter"),
    "rheobase: NaN": refused(lambda: rheobase(AXON, np.nan), "nan", "finite"),
    "resistance without a step": refused(lambda: input_resistance(LEAK, I=0.0), "0 nA", "Take -0.01"),
    "resistance: duration in s": at_once(lambda: input_resistance(LEAK, duration=2.0), "2 ms", "in s"),
    "resistance: a step in pA": warned(lambda: input_resistance(LEAK, I=-10.0, duration=100.0), "-10 nA", "in pA")._replace(compiles=True),
    # noise
    "noise in pA": at_once(with_noise(current=White(500.0)), "500 nA", "pA"),
    "noise: negative": refused(with_noise(current=OU(0, -1, 5)), "-1", "not be negative"),
    "noise: no memory": refused(with_noise(current=OU(0, 1, 0)), "τ is 0 ms", "positive"),
    "noise: NaN": refused(with_noise(current=White(np.nan)), "nan", "finite"),
    "noise: a number": mistyped(with_noise(current=0.0), "0.0", "White"),
    "noise: in a list": mistyped(with_noise(current=[White(1.0)]), "White(σ)"),
    "noise: one conductance": mistyped(with_noise(conductances=EXCITATION), "list of Bombardments"),
    "noise: a process for a conductance": mistyped(with_noise(conductances=[OU(12, 3, 3)]), "OU", "Bombardment"),
    "noise: a conductance in µS": at_once(with_noise(conductances=[Bombardment(OU(0.0121, 0.003, 2.7), 0.0)]), "0.0121", "in µS"),
    "noise: a negative conductance": refused(with_noise(conductances=[Bombardment(OU(-57, 6, 10), -75.0)]), "-57", "reversal potential"),
    "noise: a reversal in V": at_once(with_noise(conductances=[INHIBITION._replace(E=-0.075)]), "0.075", "in V"),
    "noise: white conductance": mistyped(with_noise(conductances=[Bombardment(White(3.0), 0.0)]), "White", "OU"),  # type: ignore[arg-type]
    "noise: another channel": refused(with_noise(channels={"KCa": 10}), "'KCa'", "one of"),
    "noise: channels that have no gates": refused(with_noise(channels={"leak": 10}), "'leak'", "one of"),
    "noise: no channels": refused(with_noise(channels={"K": 0}), "is 0", "at least 1"),
    "noise: half a channel": refused(with_noise(channels={"K": 10.5}), "10.5", "whole"),
    "noise: channels per cell": mistyped(with_noise(channels={"K": [10, 20]}), "[10, 20]", "number"),
    "noise: too many to count": refused(with_noise(channels={"K": 1e30}), "1e+30", "counted"),
    "noise: names alone": mistyped(with_noise(channels=["Na", "K"]), "list", "mapping"),
    "noise: memory in s": at_once(with_noise(current=OU(0.0, 0.1, 0.005)), "0.005 ms", "If τ is in s"),
    "noise: a seed of many digits": refused(with_noise(seed=2**70), "1180591620717411303424", "from 0 to"),
    "noise: years after time 0": refused(
        lambda: noisy(AXON, [1e9 + 1], t0=1e9, current=OU(0, 0.1, 5)), "from time 0 on", "GiB")._replace(compiles=True),
    "noise: no seed": mistyped(with_noise(seed=None), "None", "whole number"),
    "noise: half a seed": mistyped(with_noise(seed=0.5), "0.5", "whole number"),
    # snapshots
    "snapshot of a model": mistyped(lambda: save_state("x", AXON), "Cell", "result"),  # type: ignore[arg-type]
    "snapshot that is none": refused(lambda: load_state(Path(__file__), AXON), "no snapshot", "save_state"),
    "snapshot for nothing": mistyped(lambda: load_state("x", None), "None", "Prinz2004"),
    # energy
    "energy of a model": mistyped(lambda: energy(AXON), "Cell", "a run"),
    "power of a table": mistyped(lambda: power(pd.DataFrame()), "DataFrame", "a run"),
    "energy of one time": refused(lambda: energy(ONE), "1 time", "Record longer"),
    "energy of coarse times": warned(lambda: energy(COARSE), "10 ms", "record every 0.1 ms")._replace(compiles=True),
    "batteries in V": at_once(lambda: atp(ONE, E_Na=0.05, E_K=-0.08), "0.05", "in V"),
    "batteries the wrong way round": refused(lambda: atp(ONE, E_Na=-80, E_K=50), "from 50 to -80", "Exchange"),
    "a battery as text": mistyped(lambda: atp(ONE, E_K="-80"), "'-80'", "mV"),  # type: ignore[arg-type]
    # regulation
    "regulation without calcium": refused(lambda: regulate(AXON, 100.0), "'cell'", "pool"),
    "regulation: target in M": at_once(lambda: regulate(SLOW, 1.13e-4), "0.000113", "multiply it by 1000"),
    "regulation: no target": refused(lambda: regulate(SLOW, 0.0), "0 µM", "positive"),
    "regulation: half steps": refused(lambda: regulate(SLOW, 100.0, block=1500.02), "1500.02", "steps of dt", "Take 1500"),
    "regulation: half blocks": refused(lambda: regulate(SLOW, 100.0, duration=2000.0), "2000 ms", "blocks of 1500 ms", "Take 1500"),
    "regulation: duration in s": at_once(lambda: regulate(SLOW, 100.0, duration=0.6, block=0.2), "0.2 ms", "in s"),
    "regulation: shorter than a block": refused(lambda: regulate(SLOW, 100.0, duration=100.0), "100 ms", "blocks"),
    "regulation: negative start": refused(lambda: regulate(SLOW, 100.0, start=-1.0), "-1.0", "not negative"),
    "regulation: start of other channels": refused(lambda: regulate(SLOW, 100.0, start=[0.1, 0.2, 0.3]), "2 channels", "one for each"),
    "regulation: Boolean": mistyped(lambda: regulate(SLOW, True), "True", "µM"),
    "regulation: time constant in s": refused(lambda: regulate(SLOW, 100.0, τ_m=20.0), "20 ms", "shorter than a block", "in s"),
    "regulation: time constant of 0": refused(lambda: regulate(SLOW, 100.0, τ_g=0.0), "τ_g is 0", "positive"),
    "regulation: a step of 0": refused(lambda: regulate(SLOW, 100.0, dt=0.0), "dt is 0", "positive"),
    # phase response
    "phase above 1": refused(lambda: phase_response(AXON, phases=[0.5, 1.5]), "1.5", "from 0 to below 1"),
    "phase in degrees": refused(lambda: phase_response(AXON, phases=[0, 90, 180]), "90", "Subtract whole cycles"),
    "phase: NaN": refused(lambda: phase_response(AXON, phases=[np.nan]), "nan", "finite"),
    "phase: no charge": refused(lambda: phase_response(AXON, charge=0.0), "0 pC", "Take 0.01"),
    "phase: charge in fC": at_once(lambda: phase_response(AXON, charge=100.0), "100 pC", "in fC"),
    "phase: narrower than a step": refused(lambda: phase_response(AXON, width=0.001), "0.001 ms", "a step of dt = 0.05"),
    "phase: no width": refused(lambda: phase_response(AXON, width=0.0), "0 ms", "positive"),
    "phase: current in pA": at_once(lambda: phase_response(AXON, I_ext=6280.0), "6280 nA", "pA"),
    "phase: a current that changes": refused(lambda: phase_response(AXON, I_ext=np.zeros(7)), "(7,)", "constant"),
    "phase: a function": mistyped(lambda: phase_response(AXON, I_ext=lambda t: 6.0 * t), "constant current"),
    "phase: method": refused(lambda: phase_response(AXON, method="puls"), "'puls'", "Did you mean 'pulses'"),
    "phase: events": refused(lambda: phase_response(AXON, events="spike"), "'spike'", "Did you mean 'spikes'"),
    "phase: cycles": mistyped(lambda: phase_response(AXON, cycles=1.5), "1.5", "whole number"),  # type: ignore[arg-type]
    "phase: transient in s": at_once(lambda: phase_response(AXON, I_ext=6.28, transient=1.0), "1 ms", "in s"),
    "phase: a transient of months": refused(lambda: phase_response(AXON, transient=1e8), "GiB", "at most 4"),
    "phase: a silent cell": refused(lambda: phase_response(LEAK, transient=20.0), "0 spikes", "Take another cell")._replace(compiles=True),
    "phase: a cell out of range": refused(lambda: phase_response(PAIR, cell=("b", 1)), "('b', 1)", "one of"),
}  # fmt: skip
