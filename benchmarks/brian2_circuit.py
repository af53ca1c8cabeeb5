"""A circuit in Brian2's C++ standalone mode: prints the seconds that its program took, and the spikes of its first cell.

It needs an environment of its own, with `pip install brian2 'numpy<2'`, and does not import the package. `speed.py brian2` runs it
with the interpreter that BRIAN2_PYTHON names, in turns with the package, and hands it the circuit as JSON on its standard input.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import numpy as np

CURVE = "({c0} + {c1}/(exp((V + {a1})/{k1}) + exp((V + {a2})/{k2})))*({κ} + {λ}/(1 + exp((V + {a3})/{k3})))"
OPEN = "({c0} + {c1}/(exp((V + {a1})/{k1}) + 1))*({κ})"  # without the second and third exponential
TWO = "({c0} + {c1}/(exp((V + {a1})/{k1}) + exp((V + {a2})/{k2})))*({κ})"
FACTOR = "({c0} + {c1}/(exp((V + {a1})/{k1}) + 1))*({κ} + {λ}/(1 + exp((V + {a3})/{k3})))"


def curve(x: dict[str, Any]) -> str:
    """A function of V as text; k is None where an exponential is left out."""
    form = {(True, True): CURVE, (True, False): TWO, (False, True): FACTOR, (False, False): OPEN}
    return form[x["k2"] is not None, x["k3"] is not None].format(**{name: f"({value!r})" for name, value in x.items()})


def equations(circuit: dict[str, Any]) -> str:
    """The equations of a cell; mV, ms, nA, µS, nF and µM as plain numbers, times divided by `ms`."""
    lines, total, calcium = [], ["I_syn"], []
    for c in circuit["channels"]:
        gates = [f"*m_{c['name']}**{c['p']}" if c["m"] else "", f"*h_{c['name']}" if c["h"] else ""]
        E = "E_Ca" if c["E"] is None else f"({c['E']!r})"
        current = f"g_{c['name']}{''.join(gates)}*(V - {E})"
        total.append(current)
        calcium += [current] if c["E"] is None else []
        lines.append(f"g_{c['name']} : 1 (constant)")
        for x in ("m", "h"):
            if gate := c[x]:
                inf = curve(gate["inf"]) + (f"*Ca/(Ca + {gate['K']!r})" if gate["K"] else "")
                lines.append(f"d{x}_{c['name']}/dt = ({inf} - {x}_{c['name']})/(({curve(gate['tau'])})*ms) : 1")
    for i, gate in enumerate(circuit["releases"]):
        lines.append(
            f"ds_{i}/dt = ({curve(gate['inf'])} - s_{i})/(clip({curve(gate['tau'])}, {circuit['τ_min']!r}, inf)*ms) : 1"
        )
    lines += [
        f"dV/dt = -({' + '.join(total)})/({circuit['C']!r}*ms) : 1",
        f"E_Ca = {circuit['γ']!r}*log({circuit['Ca_out']!r}/Ca) : 1 (constant over dt)",
        f"dCa/dt = (-{circuit['f']!r}*({' + '.join(calcium)}) - Ca + {circuit['Ca_rest']!r})/({circuit['τ_Ca']!r}*ms) : 1",
        "I_syn : 1",
    ]
    return "\n".join(lines)


def run(circuit: dict[str, Any], duration: float, dt: float) -> dict[str, float]:
    """Seconds of the compiled program, and spikes of the first cell."""
    import brian2 as b

    b.set_device("cpp_standalone", directory=tempfile.mkdtemp(), build_on_run=True)
    b.prefs.devices.cpp_standalone.openmp_threads = 0
    b.defaultclock.dt = dt * b.ms
    spiking = dict(threshold="V > -10", refractory="V > -10")
    cells = b.NeuronGroup(len(circuit["start"]["V"]), equations(circuit), method="exponential_euler", **spiking)
    for name, values in (circuit["start"] | circuit["g"]).items():
        setattr(cells, name, np.array(values))
    text = "g : 1 (constant)\nE : 1 (constant)\nkind : 1 (constant)\n"
    synapses = b.Synapses(
        cells, cells, text + "I_syn_post = g*(s_0_pre*(1 - kind) + s_1_pre*kind)*(V_post - E) : 1 (summed)"
    )
    synapses.connect(i=[s["pre"] for s in circuit["synapses"]], j=[s["post"] for s in circuit["synapses"]])
    synapses.g, synapses.E, synapses.kind = (
        np.array([float(s[x]) for s in circuit["synapses"]]) for x in ("g", "E", "transmitter")
    )
    spikes = b.SpikeMonitor(cells)
    b.run(duration * b.ms)
    return {"seconds": float(b.device._last_run_time), "spikes": int((np.array(spikes.i) == 0).sum())}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(run(asked["circuit"], asked["duration"], asked["dt"])))
