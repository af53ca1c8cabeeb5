"""The table of abilities: each cell is a computation, compared with a value from elsewhere, or a refusal in words.

Which model can do what is said in `abilities.ABILITIES`, from which the Book's table is made.
"""

import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import DENSITIES, HH
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from pyloric_simulator import plotting
from pyloric_simulator.abilities import ABILITIES, CELL, CIRCUIT, COUPLED, EQUATIONS, LIF, MODELS, NETWORK
from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine import thermalization
from pyloric_simulator.ensembles.ensemble import ensemble
from pyloric_simulator.explorer import explore
from pyloric_simulator.fitting.curves import minimally_disruptive_curve
from pyloric_simulator.fitting.fit import fit
from pyloric_simulator.fitting.losses import (
    UNDEFINED,
    calcium_mismatch,
    criteria_mismatch,
    density_mismatch,
    prediction_error,
    rhythm_mismatch,
    trace_mismatch,
)
from pyloric_simulator.fitting.parameters import model_with, parameters, with_values
from pyloric_simulator.fitting.sensitivity import sensitivity
from pyloric_simulator.lab.current_clamp import current_clamp
from pyloric_simulator.lab.dynamic_clamp import dynamic_clamp
from pyloric_simulator.lab.energy import energy, power
from pyloric_simulator.lab.noise import OU, Bombardment, White, noisy
from pyloric_simulator.lab.phase_response import phase_response
from pyloric_simulator.lab.protocols import step
from pyloric_simulator.lab.regulation import regulate
from pyloric_simulator.lab.robustness import robustness
from pyloric_simulator.lab.snapshots import load_state, save_state
from pyloric_simulator.lab.temperature import Q10s, at_temperature
from pyloric_simulator.lab.voltage_clamp import voltage_clamp
from pyloric_simulator.models.channels import Liu1998, rates
from pyloric_simulator.models.lif import LIF as IntegrateAndFire
from pyloric_simulator.models.networks import Binding, Cell, GapJunction, Kinetic, Network, Synapse, any_model, model_of
from pyloric_simulator.models.neurons import Neuron
from pyloric_simulator.prinz2004 import GLUTAMATE, Channel, Prinz2004, neuron_models, precision

hv = pytest.importorskip("holoviews")
T = np.arange(0, 20.5, 0.5)  # ms
STEPS = np.arange(0, 20.04, 0.05)  # ms, steps of a run to T[-1]
FINE = 0.0125  # ms, a step at which the second-order scheme is close to the solution
AREA = 0.628  # µS from mS/cm², of all cells here
CIRCUITS = (CIRCUIT, COUPLED, CELL, NETWORK)

# ---------------------------------------------------------------- models

REST = np.array([-65.0, -68.0])  # mV, of the integrate-and-fire cells


def liu(**changes: float) -> Cell:
    """A bursting cell."""
    return Cell([getattr(Liu1998, name)(g) for name, g in (DENSITIES | changes).items()], calcium=Liu1998.calcium)


def own_network(rate: Any = None, axon_Na: float = 120, gate: Any = None) -> Network:
    """A bursting cell and two axons with calcium, joined by synapses of two kinds and a gap junction."""
    Na = HH.Na if gate is None else HH.Na._replace(m=gate)
    axon = Cell([Na(axon_Na), HH.K(36), HH.leak(0.3), Liu1998.CaS(4)], calcium=Liu1998.calcium, V=-65)
    slow = Kinetic("slow", -75.0, Binding(0.3, 0.3, -50.0, 5.0) if rate is None else rate, start=0.1)
    joined = [
        Synapse("axon", "burster", GLUTAMATE, 30),
        Synapse("burster", "axon", slow, 20),
        GapJunction("burster", "axon", 5),
    ]
    return Network({"burster": liu(), "axon": axon}, joined, sizes={"axon": 2})


def coupled(LP_Na: float = 100.0) -> Prinz2004:
    """AB and PD apart, with several cells in two populations."""
    strengths = {("AB", "LP"): 30, ("PD", "LP"): 15, ("AB", "PY"): 10, ("PD", "PY"): 1.5, ("LP", "AB"): 30, ("LP", "PD"): 30,
                 ("LP", "PY"): 1, ("PY", "LP"): 30}  # fmt: skip
    g = neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]].copy()
    g.loc["LP 4", "Na"] = LP_Na
    return Prinz2004({"AB": 1, "PD": 2, "LP": 1, "PY": 3}, strengths, g.to_numpy())


def slopes(y: Any, I: Any, p: Any) -> dict[str, Any]:
    """The equations of FitzHugh and Nagumo."""
    return {"V": y.V - y.V**3 / 3 - y.w + I, "w": (y.V + p.a - 0.8 * y.w) / p.τ}


@cache
def model(name: str) -> Any:
    """The model of a column."""
    return {
        CIRCUIT: lambda: Prinz2004.from_toml(find_circuit("paper")), COUPLED: coupled, CELL: liu, NETWORK: own_network,
        EQUATIONS: lambda: Neuron(dict(V=-1.0, w=1.0), slopes, params=dict(a=0.7, τ=12.5)),
        LIF: lambda: IntegrateAndFire(2, V_rest=REST),
    }[name]()  # fmt: skip


def start(name: str) -> Any:
    """Where all runs start."""
    return any_model(model(name)).cold


def ran(name: str, I: Any = 0.5, t: Any = T, m: Any = None, **how: Any) -> Any:
    """A run from the cold start, in which cells with currents of their own differ."""
    return (m or model(name))(t, I, start(name), **how)


def label_of(name: str) -> str:
    """The population that something is done to."""
    return {CIRCUIT: "LP", COUPLED: "PY", CELL: "cell", NETWORK: "axon", EQUATIONS: "Neuron", LIF: "LIF"}[name]


def value_of(_: str, y: Any) -> np.ndarray:
    """The potentials (time, cell) of states or a result."""
    return np.asarray(getattr(y, "states", y).V)


# ---------------------------------------------------------------- runs and inputs

SAMPLES = pd.Series(0.5 + np.sin(np.arange(0, 21.0) / 3), np.arange(0, 21.0))  # nA


def wave(t: Any) -> Any:
    """An input as a function of time."""
    return 0.5 + jnp.sin(t / 3)


INPUTS: dict[str, Callable[[Any], Any]] = {
    "constant": lambda _: 0.5, "sampled": lambda t: np.interp(t, SAMPLES.index, SAMPLES), "function": lambda t: 0.5 + np.sin(t / 3),
}  # fmt: skip


def by_scipy(f: Callable[[float, np.ndarray], np.ndarray], y0: np.ndarray) -> np.ndarray:
    """Solution (time, variable) at the times T."""
    return solve_ivp(f, (0, T[-1]), y0, method="LSODA", rtol=1e-8, atol=1e-9, t_eval=T, max_step=1.0).y.T


def stepped(I: Callable[[Any], Any]) -> np.ndarray:
    """Potentials (time, cell) of the integrate-and-fire cells below threshold, with the input held through steps of 0.1 ms."""
    V, found = REST, []
    for k in range(201):
        found.append(V)
        V = V + (REST + 10 * I(0.1 * k) - V) * -np.expm1(-0.1 / 20)
    return np.array(found)[::5]


@cache
def solution(name: str, kind: str) -> np.ndarray:
    """Potentials (time, cell) at the times T under an input."""
    I = INPUTS[kind]
    if name == LIF:
        return stepped(I)
    if name == EQUATIONS:
        rhs = lambda t, y: np.array([y[0] - y[0] ** 3 / 3 - y[1] + I(t), (y[0] + 0.7 - 0.8 * y[1]) / 12.5])  # noqa: E731
        return by_scipy(rhs, np.array([-1.0, 1.0]))[:, :1]
    m = model_of(model(name))
    return by_scipy(lambda t, y: m.vector_field(t, y, I(t)), m.flatten(m.cold))[:, : len(m.rows)]


ERROR = {
    CIRCUIT: 0.1,
    COUPLED: 0.3,
    CELL: 0.4,
    NETWORK: 0.15,
    EQUATIONS: 1e-4,
    LIF: 1e-9,
}  # mV, in spikes, with steps of `FINE`


def step_of(name: str) -> dict[str, float]:
    """A short step; the integrate-and-fire cells are exact with theirs."""
    return {} if name == LIF else {"dt": FINE}


def near(name: str, found: Any, kind: str, atol: float) -> None:
    """Compare a run with the solution."""
    np.testing.assert_allclose(value_of(name, found), solution(name, kind), rtol=0, atol=atol)


def check_default(name: str, _: Path) -> None:
    near(name, ran(name, **step_of(name)), "constant", ERROR[name])


def check_euler(name: str, _: Path) -> None:
    """Half the step, about half the error."""
    found = [ran(name, solver="exponential_euler", dt=dt) for dt in (FINE, FINE / 2)]
    coarse, fine = (abs(value_of(name, x) - solution(name, "constant")).max() for x in found)
    assert 0.4 < fine / coarse < 0.75
    assert fine < 12


def check_diffrax(name: str, _: Path) -> None:
    diffrax = pytest.importorskip("diffrax")
    tight = {} if name == EQUATIONS else dict(rtol=1e-8, atol=1e-8)
    near(name, ran(name, solver=diffrax.Dopri5(), **tight), "constant", 1e-3)


def check_sampled(name: str, _: Path) -> None:
    near(name, ran(name, SAMPLES, **step_of(name)), "sampled", ERROR[name])


def check_function(name: str, _: Path) -> None:
    near(name, ran(name, wave, **step_of(name)), "function", ERROR[name])


# ---------------------------------------------------------------- what is kept


def check_thermalization(name: str, folder: Path) -> None:
    m = model_of(model(name))
    first = m.get_thermalization(store=folder)
    thermalization.open_store.cache_clear()
    with pytest.MonkeyPatch.context() as patch:  # what is stored is not computed again
        patch.setattr(type(m), "_run_alone", None)
        again = m.get_thermalization(store=folder)
    jax.tree.map(np.testing.assert_array_equal, again, first)
    one = m.thermalize().final_state  # all cells beside each other, one of each population
    for field in ("V", "Ca", "m", "h"):
        np.testing.assert_allclose(getattr(first, field), getattr(one, field)[m.rows], rtol=1e-6, atol=1e-6)


def check_toml(name: str, folder: Path) -> None:
    m = model(name)
    m.to_toml(folder / "model.toml")
    again = type(m).from_toml(folder / "model.toml")
    assert parameters(again) == parameters(m)
    assert name == LIF or model_of(again).circuit == model_of(m).circuit


def check_snapshot(name: str, folder: Path) -> None:
    m, whole = model(name), ran(name)
    save_state(folder / "pause.npz", ran(name, t=T[:21]))
    state, t0 = load_state(folder / "pause.npz", m)
    np.testing.assert_array_equal(value_of(name, m(T[20:], 0.5, state, t0=t0)), value_of(name, whole)[20:])


def check_pickle(name: str, _: Path) -> None:
    again = pickle.loads(pickle.dumps(model(name)))
    np.testing.assert_array_equal(value_of(name, ran(name, m=again)), value_of(name, ran(name)))


# ---------------------------------------------------------------- experiments


def into(name: str, values: np.ndarray) -> pd.DataFrame:
    """Currents (step,) or (step, cell) into the cells of the population that something is done to."""
    cells = [c for c in any_model(model(name)).cells if c[0] == label_of(name)]
    return pd.DataFrame(
        {c: values if values.ndim == 1 else values[:, i] for i, c in enumerate(cells)}, STEPS[: len(values)]
    )


DRIVE = 3.0  # nA, with which all cells fire


def alike(name: str, a: Any, b: Any, atol: float = 1e-9) -> None:
    """Two results are the same, and cells have moved."""
    np.testing.assert_allclose(value_of(name, a), value_of(name, b), rtol=0, atol=atol)
    assert np.ptp(value_of(name, a), axis=0).max() > 1


def check_current_clamp(name: str, _: Path) -> None:
    found = current_clamp(model(name), T, {label_of(name): step(2.0, 5, 15)}, state=start(name))
    alike(name, found, ran(name, into(name, np.where((STEPS > 4.99) & (STEPS < 14.99), 2.0, 0.0))))


def check_voltage_clamp(name: str, _: Path) -> None:
    """Gates of a clamped cell approach their steady state exponentially, and the clamp gives what the channels pass."""
    if name == EQUATIONS:  # w approaches (V + a) / 0.8 with the rate 0.8 / τ, and the input makes dV/dt = 0
        found, w = voltage_clamp(model(name), T, 0.5, state=start(name)), (0.5 + 0.7) / 0.8
        np.testing.assert_allclose(found.states.w[:, 0], w + (1 - w) * np.exp(-0.8 * T / 12.5), rtol=1e-9)
        np.testing.assert_allclose(found.clamp, found.states.w[:, 0] - 0.5 + 0.5**3 / 3, rtol=1e-9)
        return
    m, label = model_of(model(name)), label_of(name)
    found, cell = voltage_clamp(m, T, -40.0, cell=(label, 0), state=m.cold), list(m.cells).index((label, 0))
    membrane = m.circuit.membranes[m.circuit.populations[m.rows[cell]].membrane]
    gates = [c for c in membrane.channels if c.m]
    V = jnp.full(1, -40.0)
    for i, c in enumerate(gates):
        if not c.m.K:
            inf, τ = (
                float(jnp.ravel(f.value(V, V) if hasattr(f, "value") else f(*(V,) * (1 + hasattr(f, "α"))))[0])
                for f in c.m[:2]
            )
            np.testing.assert_allclose(
                found.states.m[:, cell, i], inf * -np.expm1(-T / τ), rtol=0, atol=1e-5, err_msg=c.name
            )
    np.testing.assert_allclose(found.clamp, found.currents[label][0].sum(axis=1), rtol=1e-9)


def leak_of(m: Any, label: str) -> float:
    """Reversal potential (mV) of a population's leak."""
    p = m.circuit.populations[m.labels.index(label)]
    return next(c.E for c in m.circuit.membranes[p.membrane].channels if c.name == "leak")


def check_dynamic_clamp(name: str, _: Path) -> None:
    """A second leak is the leak with a higher conductance."""
    m, label = model_of(model(name)), label_of(name)
    found = dynamic_clamp(m, T, Channel("second", leak_of(m, label))(0.2), cell=(label, 0), I_ext=DRIVE, state=m.cold)
    one = model_with(m, {f"{label} leak": parameters(m)[f"{label} leak"] + 0.2})
    alike(name, found, ran(name, DRIVE, m=one))


def check_current_noise(name: str, _: Path) -> None:
    """The noise of each cell is that of its key, as an input."""
    m = any_model(model(name))
    steps = np.arange(0, T[-1] + 0.9 * m.step, m.step)
    found = noisy(m, T, current=White(0.5), seed=3, state=m.cold)

    @jax.jit
    def of_cell(i: Any) -> Any:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), i), 0)
        return White(0.5).samples(key, 0, len(steps), m.step)

    I = {c: np.asarray(of_cell(i)) for i, c in enumerate(m.cells)}
    alike(name, found, ran(name, pd.DataFrame(I, steps)))


def leakier(name: str, g: float, E: float) -> Any:
    """The model with another leak of g (nS) toward E (mV)."""
    if name == EQUATIONS:
        more = lambda y, I, p: slopes(y, I + g * (E - y.V), p)  # noqa: E731
        return Neuron(dict(V=-1.0, w=1.0), more, params=model(name).params)
    if name == LIF:
        total = 1 + 10 * g * 1e-3
        return IntegrateAndFire(2, V_rest=(REST + 10 * g * 1e-3 * E) / total, R=10 / total, τ=20 / total)
    m = model_of(model(name))
    known, extra, values = parameters(m), g * 1e-3 / AREA, {}
    for label in m.labels:
        own, old = known[f"{label} leak"], leak_of(m, label)
        values[f"{label} leak"] = own + extra
        if old != E:
            values[f"{label}: E leak"] = (own * old + extra * E) / (own + extra)
    return model_with(m, values)


def check_conductance_noise(name: str, _: Path) -> None:
    """Without fluctuations a conductance is another leak; with them each seed has its own."""
    m, (g, E) = any_model(model(name)), (0.2, 2.0) if name == EQUATIONS else (100.0, -50.0)
    still = noisy(m, T, conductances=[Bombardment(OU(g, 0.0, 5.0), E)], I_ext=DRIVE, state=m.cold)
    alike(name, still, ran(name, DRIVE, m=leakier(name, g, E)), 1e-6)
    a, b = (noisy(m, T, conductances=[Bombardment(OU(g, 0.3 * g, 5.0), E)], state=m.cold, seed=i) for i in (0, 1))
    assert abs(value_of(name, a) - value_of(name, b)).max() > 0.01


def check_channel_noise(name: str, _: Path) -> None:
    """Whole numbers of channels are open; countless ones are as without noise."""
    m = model_of(model(name))
    few = noisy(m, T, channels={"Na": 50}, state=m.cold)
    many = noisy(m, T, channels={"Na": 1e12}, state=m.cold)
    opened = 50 * few.states.m[..., 0] ** 3 * few.states.h[..., 0]  # Na comes first in all cells
    np.testing.assert_allclose(opened, np.rint(opened), atol=1e-6)
    np.testing.assert_allclose(value_of(name, many), value_of(name, ran(name, 0.0)), rtol=0, atol=0.05)


# ---------------------------------------------------------------- physiology


def check_temperature(name: str, _: Path) -> None:
    """Where all rates, conductances and currents double, and calcium enters as fast, 10 °C more is the same run in half the time."""
    m = model_of(model(name))
    channels = {c.name for x in m.circuit.membranes for c in x.channels}
    kinds = {k.name for k in (*m.circuit.transmitters, *m.circuit.kinds)}
    twice = lambda names: dict.fromkeys(names, 2.0)  # noqa: E731
    all_double = Q10s(*map(twice, (channels, channels, channels, kinds, kinds)), ge=2.0, calcium=2.0, keeps_influx=True)
    kept = {n: x for n, x in parameters(m).items() if n.split(": ")[-1] == "γ"}  # RT/F is no rate
    warmed = model_with(at_temperature(m, 20.0, all_double), kept)
    alike(name, ran(name, 2 * DRIVE, T / 2, warmed, dt=0.025), ran(name, DRIVE), 1e-4)


def check_energy(name: str, _: Path) -> None:
    """An ohmic channel dissipates I (V − E)."""
    found = ran(name)
    spent, m = power(found), found.model
    for p in m.circuit.populations:
        for c in m.circuit.membranes[p.membrane].channels:
            if isinstance(c.E, (int, float)):
                I, V = found.currents[p.label, 0, c.name], found.V[p.label, 0]
                np.testing.assert_allclose(
                    spent[p.label, 0, c.name], I * (V - c.E) * 1e-3 / (AREA * 1e-3), rtol=1e-9, atol=1e-9
                )
    mean = spent.T.groupby(level=[0, 1], sort=False).sum().T
    np.testing.assert_allclose(energy(found)["power"], np.trapezoid(mean, T, axis=0) / T[-1], rtol=1e-9)


def check_regulation(name: str, _: Path) -> None:
    """A block of regulation follows the mean calcium of a run."""
    m, target, (τ_m, τ_g) = model_of(model(name)), 5.0, (2000.0, 500.0)
    found = regulate(m, target, duration=20.0, block=20.0, start=0.5, τ_m=τ_m, τ_g=τ_g, state=m.cold)
    channels = {p.label: m.circuit.membranes[p.membrane].channels for p in m.circuit.populations}
    gated = [f"{label} {c.name}" for label, some in channels.items() for c in some if c.m]
    half = {n: 0.5 * parameters(m)[n] for n in gated}
    Ca = ran(name, 0.0, np.linspace(0, 20, 21), model_with(m, half)).Ca.mean()
    for label in m.labels:
        mean, before, own = Ca[label].mean(), half[f"{label} Na"], parameters(m)[f"{label} Na"]
        messenger = before + 20 * own / (τ_m * target) * (target - mean)
        after = messenger + (before - messenger) * np.exp(-20 / τ_g)
        assert found.history[label, "Ca"].iloc[0] == pytest.approx(mean, rel=1e-9)
        assert found.history[label, "Na"].iloc[0] == pytest.approx(after, rel=1e-9)


PHASES = (0.2, 0.5, 0.8)
BURSTS, FIRES = dict(events="bursts", cycles=1, transient=5000), dict(transient=300, charge=0.001)
RHYTHMIC: dict[str, dict[str, Any]] = {  # what makes each model fire or burst regularly
    CIRCUIT: dict(cell="AB/PD", **BURSTS), COUPLED: dict(cell="AB", **BURSTS), CELL: dict(I_ext=8.0, **FIRES),
    NETWORK: dict(cell=("axon", 0), I_ext={"axon": 10.0, "burster": -3.0}, **FIRES), EQUATIONS: dict(I_ext=0.5, level=0.0, **FIRES),
}  # fmt: skip


def check_phase_response(name: str, _: Path) -> None:
    """Small pulses shift the rhythm as the adjoint says."""
    pulses, adjoint = (
        phase_response(model(name), method=x, phases=PHASES, **RHYTHMIC[name]) for x in ("pulses", "adjoint")
    )
    np.testing.assert_allclose(pulses, adjoint, rtol=0, atol=0.05 * abs(adjoint).max())


# ---------------------------------------------------------------- derivatives

SHORT = np.arange(0, 5.25, 0.25)  # ms


def names_of(name: str) -> dict[str, float]:
    """Two numbers that are varied, and their values."""
    if name == EQUATIONS:
        return {"a": 0.7, "τ": 12.5}
    if name == LIF:
        return {"R": 10.0, "τ": 20.0}
    names = [f"{label_of(name)} Na", f"{label_of(name)} leak"]
    return {n: parameters(model(name))[n] for n in names}


def pure(name: str, values: Mapping[str, Any]) -> Any:
    """Potentials (time, cell) at the times `SHORT` as a function of some numbers, for a derivative in reverse mode."""
    m = any_model(model(name))
    return m.trajectory(
        with_values(m.params, values), jax.tree.map(jnp.asarray, m.cold), SHORT, jnp.asarray(0.5), dt=m.step
    ).V


def single(name: str, values: Mapping[str, float]) -> np.ndarray:
    """The same by a call of a model with other numbers."""
    m = model(name)
    if name == EQUATIONS:
        return value_of(name, ran(name, t=SHORT, m=Neuron(dict(V=-1.0, w=1.0), slopes, params=m.params | dict(values))))
    if name == LIF:
        return value_of(name, IntegrateAndFire(2, V_rest=REST, **values)(SHORT, 0.5))
    return value_of(name, ran(name, t=SHORT, m=model_with(m, values)))


def differences(name: str, f: Callable[[np.ndarray], float]) -> dict[str, float]:
    """Central differences of a function of the potentials with respect to the numbers."""
    known, found = names_of(name), {}
    for n, x in known.items():
        up, down = (f(single(name, known | {n: x * (1 + h)})) for h in (1e-4, -1e-4))
        found[n] = (up - down) / (2e-4 * x)
    return found


@cache
def mean_slopes(name: str) -> dict[str, float]:
    """Derivatives of the mean potential by differences."""
    return differences(name, lambda V: float(V.mean()))


def traced(name: str) -> dict[str, Any]:
    """The numbers as arrays."""
    return {n: jnp.asarray(x) for n, x in names_of(name).items()}


def check_gradient(name: str, _: Path) -> None:
    found = jax.jit(jax.grad(lambda values: pure(name, values).mean()))(traced(name))
    for n, x in mean_slopes(name).items():
        assert float(found[n]) == pytest.approx(x, rel=1e-4), n


def rebuilt(name: str) -> tuple[str, float, Any]:
    """A number, another value, and the model made anew with it."""
    if name == CIRCUIT:
        g = neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]].copy()
        g.loc["LP 4", "Na"] = 150
        gs = dict(zip(model(name).synapses, model(name).params.gs, strict=True))
        return "LP Na", 150.0, Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, gs, g.to_numpy())
    made = {
        COUPLED: ("LP Na", 150.0, lambda: coupled(150.0)), CELL: ("cell Na", 650.0, lambda: liu(Na=650.0)),
        NETWORK: ("slow rate α", 0.2, lambda: own_network(Binding(0.2, 0.3, -50.0, 5.0))),
        EQUATIONS: ("τ", 10.0, lambda: Neuron(dict(V=-1.0, w=1.0), slopes, params=dict(a=0.7, τ=10.0))),
        LIF: ("V_rest 1", -60.0, lambda: IntegrateAndFire(2, V_rest=[-65.0, -60.0])),
    }  # fmt: skip
    n, x, make = made[name]
    return n, x, make()


def check_parameters(name: str, _: Path) -> None:
    n, x, other = rebuilt(name)
    changed = model_with(model(name), {n: x})
    assert parameters(changed) == parameters(other) == parameters(model(name)) | {n: x}
    np.testing.assert_array_equal(value_of(name, ran(name, m=changed)), value_of(name, ran(name, m=other)))


def check_sensitivity(name: str, _: Path) -> None:
    """Elasticities of a mean over a whole run from the start of the model."""
    names, m = list(names_of(name)), any_model(model(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(m), "starts_thermalized", False)
        table = sensitivity(
            m, lambda _, V: {"mean": V.mean()}, names, duration=SHORT[-1] + 0.25, transient=0.0, every=0.25, I_ext=0.5
        )
    base, known = value_of(name, m(SHORT, 0.5, state=m.cold)).mean(), names_of(name)
    for n in names:
        up, down = (
            value_of(name, model_with(m, {n: known[n] * (1 + h)})(SHORT, 0.5, state=m.cold)).mean()
            for h in (1e-4, -1e-4)
        )
        assert table.loc["mean", n] == pytest.approx((up - down) / 2e-4 / base, rel=1e-3), n


# ---------------------------------------------------------------- losses and fits


def other_values(name: str) -> dict[str, float]:
    """Numbers somewhat off."""
    return {n: 1.2 * x for n, x in names_of(name).items()}


def at_values(name: str, loss: Callable[[Any], Any], values: Mapping[str, float]) -> float:
    """A loss at some numbers."""
    m = any_model(model(name))
    with precision():
        return float(jax.jit(loss)(with_values(m.params, values)))


def data(name: str) -> pd.DataFrame:
    """What the model does."""
    return ran(name, 0.5, SHORT).V


def changed_run(name: str) -> np.ndarray:
    """What it does with the numbers off."""
    return value_of(name, ran(name, 0.5, SHORT, model_with(model(name), other_values(name))))


def check_trace(name: str, _: Path) -> None:
    loss = trace_mismatch(model(name), data(name), state=start(name), I_ext=0.5)
    expected = ((changed_run(name) - data(name).to_numpy()) ** 2).mean()
    assert at_values(name, loss, other_values(name)) == pytest.approx(expected, rel=1e-6)
    assert at_values(name, loss, names_of(name)) == pytest.approx(0, abs=1e-12)


def check_prediction_error(name: str, _: Path) -> None:
    """The steering is a leak toward the recording: a stronger leak, and an input."""
    m, recorded, K = any_model(model(name)), data(name), 5.0
    found = at_values(name, prediction_error(m, recorded, K=K, state=start(name), I_ext=0.5), other_values(name))
    if name == EQUATIONS:
        pull = lambda y, I, p: slopes(y, I - K * y.V, p)  # noqa: E731
        other = Neuron(dict(V=-1.0, w=1.0), pull, params=m.params | other_values(name))
        I = 0.5 + K * CubicSpline(SHORT, recorded.iloc[:, 0])(np.minimum(STEPS, SHORT[-1]))
        V = value_of(name, other(SHORT, pd.Series(I, STEPS)))
        assert found == pytest.approx(((V - recorded.to_numpy()) ** 2).mean(), rel=1e-6)
        return
    steps, known, I = np.arange(0, SHORT[-1] + 0.04, 0.05), parameters(m) | other_values(name), {}
    for c in m.cells:
        I[c] = 0.5 + K * AREA * (CubicSpline(SHORT, recorded[c])(np.minimum(steps, SHORT[-1])) - leak_of(m, c[0]))
    steered = model_with(m, other_values(name) | {f"{label} leak": known[f"{label} leak"] + K for label in m.labels})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # this current is large, as it belongs to a leak
        V = value_of(name, ran(name, pd.DataFrame(I, steps), SHORT, steered))
    assert found == pytest.approx(((V - recorded.to_numpy()) ** 2).mean(), rel=1e-6)


def check_density(name: str, _: Path) -> None:
    I = 40.0 if name == LIF else 0.5  # nA; the integrate-and-fire cells fire
    runs = [ran(name, I, SHORT, x) for x in (model(name), model_with(model(name), other_values(name)))]
    loss = density_mismatch(model(name), runs[0], width=0.5, state=start(name), I_ext=I)

    def density(run: Any) -> np.ndarray:
        risen = np.maximum(np.diff(1 / (1 + np.exp(-(value_of(name, run) + 10) / 5)), axis=0), 0)
        if name == LIF:
            risen = np.stack([np.histogram(x, SHORT + 1e-6)[0] for x in run.spike_times().values()], 1)
            assert (risen.sum(0) > 0).all()
        kernel = np.exp(-((np.arange(-8, 9) * 0.25 / 0.5) ** 2) / 2)
        return np.stack([np.convolve(x, kernel / kernel.sum(), "full")[8:-8] for x in risen.T], 1) / 0.25 * 1000

    expected = ((density(runs[1]) - density(runs[0])) ** 2).mean()
    assert at_values(name, loss, other_values(name)) == pytest.approx(expected, rel=1e-6)


def check_calcium(name: str, _: Path) -> None:
    loss = calcium_mismatch(model(name), 2.0, SHORT, state=start(name))
    Ca = ran(name, 0.0, SHORT, model_with(model(name), other_values(name))).Ca.mean()
    assert at_values(name, loss, other_values(name)) == pytest.approx((np.log(Ca / 2.0) ** 2).mean(), rel=1e-6)


LONG = np.arange(0, 300.5, 0.5)  # ms


def silent(name: str) -> dict[str, float]:
    """Numbers with which no cell fires."""
    if name == EQUATIONS:
        return {"a": 0.7}
    m = model_of(model(name))
    return {f"{label} Na": 0.0 for label in m.labels} | {f"{label} leak": 5.0 for label in m.labels}


def check_rhythm(name: str, _: Path) -> None:
    """A silent cell has no period, and a silence as long as the run."""
    loss = rhythm_mismatch(model(name), LONG, period=200.0, duty_cycle=0.25, state=start(name))
    assert at_values(name, loss, silent(name)) == pytest.approx(
        UNDEFINED + np.log(LONG[-1] / (0.75 * 200)) ** 2, rel=1e-6
    )


def check_criteria(name: str, _: Path) -> None:
    """Of silent cells no feature is defined."""
    m = model_of(model(name))
    roles = (0, 1, 2) if len(m.rows) == 3 else (("PD", 0), "LP", ("PY", 0))
    assert at_values(name, criteria_mismatch(m, LONG, roles=roles, state=start(name)), silent(name)) == pytest.approx(
        UNDEFINED, rel=1e-9
    )


def check_fit(name: str, _: Path) -> None:
    """A conductance is found again from what the model does with it."""
    n = next(iter(names_of(name)))
    true = parameters(model(name))[n]
    off = model_with(model(name), {n: 1.2 * true})
    loss = trace_mismatch(model(name), data(name), state=start(name), I_ext=0.5)
    found = fit(off, loss, [n], bounds={n: (0.5 * true, 2 * true)}, steps=40, patience=None, progress=False)
    assert found.values[n] == pytest.approx(true, rel=0.02)
    V = value_of(name, ran(name, 0.5, SHORT, model_with(model(name), dict(found.values))))
    assert found.loss == pytest.approx(((V - data(name).to_numpy()) ** 2).mean(), rel=1e-6)


def check_curve(name: str, _: Path) -> None:
    """Along a curve the loss is that of single runs, and stays below the momentum."""
    known = names_of(name)
    target = single(name, known)
    loss = lambda values: ((pure(name, values) - target) ** 2).mean()  # noqa: E731
    curve = minimally_disruptive_curve(loss, known, 0, 0.02, momentum=1.0, both=False, step=0.005)
    assert len(curve.table) > 2
    assert (curve.table["loss"] < 1.0).all()
    row = curve.table.iloc[-2]
    expected = ((single(name, row[list(known)].to_dict()) - target) ** 2).mean()
    assert row["loss"] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def check_torch(name: str, _: Path) -> None:
    torch = pytest.importorskip("torch")
    from pyloric_simulator.fitting.torch_bridge import CircuitModule, LIFModule, to_torch

    known = names_of(name)
    if name == EQUATIONS:
        found = {n: torch.tensor(x, dtype=torch.float64, requires_grad=True) for n, x in known.items()}
        V = to_torch(lambda values: pure(name, values))(found)
    else:
        made = LIFModule(2, list(known), log=False, V_rest=REST, dtype="float64") if name == LIF else None
        made = made or CircuitModule(model(name), list(known), SHORT, log=False, state=start(name))
        I = torch.tensor(0.5, dtype=torch.float64)
        V, found = (made(SHORT, I)[0] if name == LIF else made(I)), dict(made.coordinates)
    np.testing.assert_allclose(V.detach().numpy(), single(name, known), rtol=0, atol=1e-9)
    V.mean().backward()
    for n, x in mean_slopes(name).items():
        assert float(found[n].grad) == pytest.approx(x, rel=1e-4), n


def check_traces(name: str, _: Path) -> None:
    """The curves are the potentials, in the cells' colours."""
    hv.extension("bokeh")
    run = ran(name, 0.5, SHORT)
    panels = run.plot()
    drawn = [(x if isinstance(x, hv.Curve) else next(iter(x))).dimension_values(1) for x in panels]
    np.testing.assert_array_equal(np.stack(drawn, 1), run.V)
    if name != LIF:  # whose spikes are recorded apart
        assert len(plotting.raster(run, (0.0, float(SHORT[-1])))) > 0


def check_currentscape(name: str, _: Path) -> None:
    """Shares times totals are the currents, which add up to what charges the membrane; a gate is drawn as it was recorded."""
    hv.extension("bokeh")
    run = ran(name, 0.5, SHORT)
    for cell in run.model.cells:
        out, into, totals = plotting.shares(run, cell)
        net = out.mul(totals["outward"], axis=0) - into.mul(totals["inward"], axis=0)
        np.testing.assert_allclose(net, plotting.of_cell(run.currents, cell)[list(out)], atol=1e-9)
        assert len(plotting.currentscape(run, cell)) == 5
    cell = run.model.cells[-1]
    line = next(iter(plotting.gates(run, cell)[1, 0]))
    np.testing.assert_array_equal(line.dimension_values(1), run.m[(*cell, line.label)])


def check_diagram(name: str, _: Path) -> None:
    """The strengths that are written are those of the model."""
    hv.extension("bokeh")
    shown = plotting.circuit_diagram(model(name))
    texts = [str(text) for x in shown if isinstance(x, hv.Labels) for text in x.dimension_values(2)]
    m = model_of(model(name))
    strengths = [x for x in np.concatenate([np.ravel(m.params.gs), np.ravel(m.params.gz)]) if x]
    assert {f"{x:g}" for x in strengths} <= set(texts)
    assert len(texts) >= len(m.labels) + len(strengths)


def check_explorer(name: str, _: Path) -> None:
    """Its window is a run of the model, and a knob does what another model would do."""
    setups = pytest.importorskip("pyloric_simulator.exploring.setups", reason="the explorer needs panel")
    rig, m = setups.Rig(model(name)), model_of(model(name))
    window = rig.window()
    t = setups.times(0.0, 50.0)
    np.testing.assert_allclose(window.result.states.V[: len(t)], m(t, state=window.begin).states.V, rtol=0, atol=1e-6)
    knob = next(iter(rig.values()))
    rig.change(rig.with_values({knob: 0.5 * rig.values()[knob]}))
    other = model_with(m, {knob: 0.5 * parameters(m)[knob]})
    again = rig.window()
    np.testing.assert_allclose(again.result.states.V[: len(t)], other(t, state=again.begin).states.V, rtol=0, atol=1e-6)


def check_robustness(name: str, _: Path) -> None:
    """Without a change a row has the spikes of a single run, and with a change the values lie where they may."""
    known, how = names_of(name), {"duration": 300.0, "transient": 0.0, "dtype": "float64"}
    keeps = lambda table: np.ones(len(table), bool)  # noqa: E731
    found = robustness(
        model(name),
        list(known),
        deltas=[0, 0.1],
        draws=3,
        keeps=keeps,
        I_ext=0.5,
        state=start(name),
        progress=False,
        **how,
    )
    assert found.area == 1
    for n, x in known.items():
        assert (found.table[n].loc[0.1] / x - 1).abs().max() <= 0.1
    run = ran(name, 0.5, np.arange(0, 300.05, 0.1))
    spikes = [len(x) for x in run.spike_times().values()]
    assert [found.table.loc[(0.0, 0), c] for c in found.table if c.endswith(" spikes")] == spikes


def check_ensemble(name: str, _: Path) -> None:
    known = names_of(name)
    rows = {n: [x, 1.1 * x, 0.9 * x] for n, x in known.items()}
    table = ensemble(model(name), rows, keep="V", t=SHORT, I_ext=0.5, state=start(name), dt=0.05, progress=False)
    V = np.stack([np.stack(table[c]) for c in table if c.startswith("V ")], 2)
    for i in range(3):
        np.testing.assert_allclose(V[i], single(name, {n: x[i] for n, x in rows.items()}), rtol=0, atol=1e-6)


# ---------------------------------------------------------------- the table

CHECKS: dict[str, Callable[[str, Path], None]] = {
    "run, by the default scheme": check_default, "run, by exponential Euler": check_euler, "run, by diffrax": check_diffrax,
    "sampled input": check_sampled, "input as a function": check_function, "thermalized starts": check_thermalization, "TOML": check_toml,
    "snapshots": check_snapshot, "pickle": check_pickle, "current clamp": check_current_clamp, "voltage clamp": check_voltage_clamp,
    "dynamic clamp": check_dynamic_clamp, "current noise": check_current_noise, "conductance noise": check_conductance_noise,
    "channel noise": check_channel_noise, "temperature": check_temperature, "energy": check_energy, "regulation": check_regulation,
    "pictures of potentials": check_traces, "pictures of currents and gates": check_currentscape, "circuit diagram": check_diagram,
    "explorer": check_explorer, "robustness": check_robustness,
    "phase response": check_phase_response, "gradient in reverse mode": check_gradient, "named parameters": check_parameters,
    "sensitivity": check_sensitivity, "loss: trace mismatch": check_trace, "loss: prediction error": check_prediction_error,
    "loss: spike density": check_density, "loss: calcium": check_calcium, "loss: rhythm": check_rhythm,
    "loss: fifteen criteria": check_criteria,
    "fit": check_fit, "minimally disruptive curves": check_curve, "torch module": check_torch, "thousands at once": check_ensemble,
}  # fmt: skip

V0 = pd.DataFrame({("LIF", 0): np.zeros(len(SHORT))}, SHORT)
CALLS: dict[str, Callable[[Any], Any]] = {  # what is refused where there is a dash
    "run, by exponential Euler": lambda m: m(T, solver="exponential_euler"), "run, by diffrax": lambda m: m(T, solver=object()),
    "thermalized starts": lambda m: m.get_thermalization(), "TOML": lambda m: m.to_toml("model.toml"),
    "voltage clamp": lambda m: voltage_clamp(m, T, -40), "dynamic clamp": lambda m: dynamic_clamp(m, T, HH.leak(0.1)),
    "channel noise": lambda m: noisy(m, T, channels={"Na": 10}), "temperature": lambda m: at_temperature(m, 20),
    "energy": lambda m: energy(m(T, 0.5)), "regulation": lambda m: regulate(m, 5.0),
    "pictures of currents and gates": lambda m: plotting.currentscape(m(T)), "circuit diagram": plotting.circuit_diagram,
    "explorer": explore, "phase response": lambda m: phase_response(m),
    "loss: prediction error": lambda m: prediction_error(m, V0),
    "loss: calcium": lambda m: calcium_mismatch(m, 2.0, SHORT),
    "loss: rhythm": lambda m: rhythm_mismatch(m, LONG, period=200, duty_cycle=0.25),
    "loss: fifteen criteria": lambda m: criteria_mismatch(m, LONG),
}  # fmt: skip

# What takes seconds, in particular to compile, is slow: for all but the integrate-and-fire cells, or for circuits of several cells.
SLOW = {
    "run, by diffrax", "channel noise", "explorer", "robustness", "phase response", "gradient in reverse mode", "sensitivity",
    "loss: rhythm",
    "loss: fifteen criteria", "fit", "minimally disruptive curves", "torch module",
}  # fmt: skip
SLOW_IN_CIRCUITS = {
    "run, by the default scheme", "run, by exponential Euler", "sampled input", "input as a function", "snapshots", "current clamp",
    "voltage clamp", "dynamic clamp", "current noise", "conductance noise", "regulation", "loss: trace mismatch",
    "loss: prediction error", "thousands at once", "pictures of potentials", "pictures of currents and gates",
}  # fmt: skip
QUICK = {"TOML", "circuit diagram"}  # also for many or different cells


def is_slow(ability: str, name: str) -> bool:
    """Whether a computation takes more than a second or two."""
    if name in (COUPLED, NETWORK):
        return ability not in QUICK
    return (ability in SLOW and name != LIF) or (ability in SLOW_IN_CIRCUITS and name == CIRCUIT)


def cells_of_table() -> list[Any]:
    """One test for each cell."""
    pairs = [(a, name, name not in a.dashes and is_slow(a.name, name)) for a in ABILITIES for name in MODELS]
    return [pytest.param(a, name, id=f"{a.name}, {name}", marks=[pytest.mark.slow] * slow) for a, name, slow in pairs]


@pytest.mark.parametrize(("ability", "name"), cells_of_table())
def test_each_cell_of_the_table(ability: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name not in ability.dashes:
        CHECKS[ability.name](name, tmp_path)
        return
    with pytest.raises((ValueError, TypeError, AttributeError), match="must"):
        CALLS[ability.name](model(name))


def test_the_table_is_whole() -> None:
    assert [a.name for a in ABILITIES] == list(CHECKS)
    assert {a.name for a in ABILITIES if a.dashes} == set(CALLS)


@pytest.mark.slow
def test_rates_written_as_functions_are_pickled() -> None:
    gate = rates(lambda V: 0.1 * (V + 100), lambda V: 4 * jnp.exp(-(V + 65) / 18))
    m = own_network(lambda s, V_pre, V_post: 0.1 * (1 - s) / (1 + jnp.exp(-V_pre)) - 0.1 * s + 0 * V_post, gate=gate)
    again = pickle.loads(pickle.dumps(m))
    np.testing.assert_array_equal(again(SHORT, 0.5).states.V, m(SHORT, 0.5).states.V)
