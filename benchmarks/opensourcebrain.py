"""The sixteen cells of Open Source Brain in jNeuroML beside ours: conductances, spikes of the first second, burst periods.

    python benchmarks/opensourcebrain.py PATH/PyloricNetwork/NeuroML2 --step 0.025 --duration 4500
    python benchmarks/opensourcebrain.py PATH/PyloricNetwork/NeuroML2 --step 0.0025 --cells "AB/PD 2" "LP 4" "PY 2"

Their files, github.com/OpenSourceBrain/PyloricNetwork, are not part of this repository. jLEMS integrates them by Euler's
method, all from steady gates at -50 mV; so do our cells start here. The first command takes ten minutes, the second one as well.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyloric_simulator.engine.kinetics import at
from pyloric_simulator.prinz2004 import CHANNELS, Gate, Prinz2004, State, neuron_models, precision
from pyloric_simulator.rhythm import bursts, spikes

NAMES = {
    "Na_STG": "Na",
    "CaT_STG": "CaT",
    "CaS_STG": "CaS",
    "KA_STG": "A",
    "KCa_STG": "KCa",
    "Kd_STG": "Kd",
    "H_STG": "H",
    "LeakConductance": "leak",
}
HEAD = '<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="all">'


def identifier(cell: str) -> str:
    """The name of a cell in their files."""
    return cell.replace("/", "_").replace(" ", "_")


def conductances(text: str) -> dict[str, float]:
    """Channel -> mS/cm² in one of their files."""
    densities = re.findall(r"<channelDensity\w*[^>]*>", text)
    channel = [NAMES[re.search(r'ionChannel="(\w+)"', x)[1]] for x in densities]  # type: ignore[index]
    g = [float(re.search(r'condDensity="([\d.]+)', x)[1]) for x in densities]  # type: ignore[index]
    return dict(zip(channel, g, strict=True))


def theirs(folder: Path, cells: list[str], step: float, duration: float) -> tuple[Any, Any]:
    """Times (ms) and potentials (mV), (time, cell), of their cells, each alone."""
    here = Path(tempfile.mkdtemp())
    for file in folder.glob("*.nml"):
        (here / file.name).write_text(file.read_text())
    ids = [identifier(cell) for cell in cells]
    for x in ids:
        text = (folder / f"{x}.cell.nml").read_text()
        (here / f"one_{x}.nml").write_text(re.sub(r'<cell id="\w+"', f'<cell id="{x}"', text))
    populations = "".join(f'<population id="p_{x}" component="{x}" size="1"/>' for x in ids)
    network = f'<network id="net" type="networkWithTemperature" temperature="10.0 degC">{populations}</network>'
    (here / "all.nml").write_text(
        HEAD + "".join(f'<include href="one_{x}.nml"/>' for x in ids) + network + "</neuroml>"
    )
    columns = "".join(f'<OutputColumn id="{x}" quantity="p_{x}[0]/v"/>' for x in ids)
    includes = "".join(f'<Include file="{x}"/>' for x in ("Cells.xml", "Networks.xml", "Simulation.xml", "all.nml"))
    run = f'<Component type="Simulation" id="sim" length="{duration}ms" step="{step}ms" target="net">'
    output = f'<OutputFile id="of" fileName="V.dat">{columns}</OutputFile>'
    (here / "LEMS.xml").write_text(f'<Lems><Target component="sim"/>{includes}{run}{output}</Component></Lems>')
    subprocess.run(["pynml", "LEMS.xml", "-nogui"], cwd=here, check=True, capture_output=True)
    found = np.loadtxt(here / "V.dat") * 1e3  # from s and V
    return found[:, 0], found[:, 1:]


def steady(gate: Gate) -> float:
    """x∞ at -50 mV and 0.05 µM."""
    return float(at(gate.inf, jnp.array([-50.0]), jnp.array([0.05]))[0] * 0.05 / (0.05 + gate.K))


def ours(cells: list[str], duration: float) -> tuple[Any, Any]:
    """The same of our cells, at a small step."""
    model = Prinz2004(dict.fromkeys(cells, 1), gs={}, ge=0)
    with precision():
        m, h = ([steady(g) for g in gates if g] for gates in ([c.m for c in CHANNELS], [c.h for c in CHANNELS]))
    n, cold = len(cells), model.cold
    start = State(cold.V, cold.Ca, cold.s, np.tile(m, (n, 1)), np.tile(h, (n, 1)))
    run = model(np.arange(0, duration, 0.05), state=start, dt=0.0125, record=("V",))
    return np.asarray(run.t), run.V.to_numpy()


def period(train: np.ndarray) -> float:
    """Mean burst period (ms) after the first second, NaN with fewer than two bursts there."""
    starts = bursts(train)[:, 0] if len(train) else np.zeros(0)
    return float(np.diff(starts[starts > 1000]).mean()) if (starts > 1000).sum() > 1 else np.nan


def main() -> None:
    """Print a line for each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", type=float, default=0.025, help="ms, of jLEMS")
    parser.add_argument("--duration", type=float, default=1000.0, help="ms")
    parser.add_argument("--cells", nargs="*", default=list(neuron_models.index))
    asked = parser.parse_args()
    for cell in asked.cells:
        table = conductances((asked.folder / f"{identifier(cell)}.cell.nml").read_text())
        assert table == neuron_models.loc[cell].to_dict(), (cell, table)
    (t, V), (t_ours, V_ours) = (
        theirs(asked.folder, asked.cells, asked.step, asked.duration),
        ours(asked.cells, asked.duration),
    )
    for cell, x, y in zip(asked.cells, V.T, V_ours.T, strict=True):
        a, b = spikes(t, x), spikes(t_ours, y)
        early = min((a < 1000).sum(), (b < 1000).sum())
        apart = np.abs(a[:early] - b[:early]).max(initial=0.0)
        print(
            f"{cell:8} spikes {len(a)} {len(b)}, in the first second apart by {apart:.2f} ms; periods {period(a):.1f} {period(b):.1f} ms"
        )


if __name__ == "__main__":
    main()
