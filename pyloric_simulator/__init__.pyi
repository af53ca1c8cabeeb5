# The public names, by task. Read by type checkers, and by __init__.py to know where each name is.

# ruff: noqa: I001

# `x as x` is how a stub says that x is meant for others.

# The circuit
from .prinz2004 import (
    Channel as Channel,
    Circuit as Circuit,
    Gate as Gate,
    Params as Params,
    Prinz2004 as Prinz2004,
    SimResult as SimResult,
    State as State,
    dims as dims,
    neuron_models as neuron_models,
    precision as precision,
    simulate as simulate,
)

# Its rhythm
from .rhythm import (
    bursts as bursts,
    features as features,
    is_pyloric as is_pyloric,
    is_pyloric_like as is_pyloric_like,
    report as report,
    spikes as spikes,
    summary as summary,
)
from .files.exchange import efel_features as efel_features
from .files.nerves import NerveDetection as NerveDetection
from .files.nerves import height_windows as height_windows
from .files.nerves import nerve_spikes as nerve_spikes
from .files.nerves import read_nerves as read_nerves
from .files.recording import read_recording as read_recording
from .engine.detection import Detection as Detection

# Models beside it
from .engine.kinetics import linoid as linoid
from .models.networks import (
    Binding as Binding,
    Graded as Graded,
    Kinetic as Kinetic,
    Cell as Cell,
    GapJunction as GapJunction,
    Network as Network,
    Synapse as Synapse,
)
from .models.channels import (
    GHK as GHK,
    Q10 as Q10,
    HodgkinHuxley1952 as HodgkinHuxley1952,
    Liu1998 as Liu1998,
    Prinz2003 as Prinz2003,
    SwensenMarder2001 as SwensenMarder2001,
    rates as rates,
)
from .models.lif import LIF as LIF, simulate_lif as simulate_lif
from .models.neurons import Neuron as Neuron, simulate_neuron as simulate_neuron

# Thousands at once
from .ensembles.ensemble import ensemble as ensemble
from .fitting.inference import prior as prior, simulator as simulator

# Derivatives and fits
from .fitting.adjoint import many_at_once as many_at_once, simulate_with_adjoint as simulate_with_adjoint
from .fitting.curves import minimally_disruptive_curve as minimally_disruptive_curve
from .fitting.fit import fit as fit
from .fitting.losses import (
    calcium_mismatch as calcium_mismatch,
    criteria_mismatch as criteria_mismatch,
    density_mismatch as density_mismatch,
    prediction_error as prediction_error,
    rhythm_mismatch as rhythm_mismatch,
    trace_mismatch as trace_mismatch,
)
from .fitting.parameters import model_with as model_with, parameters as parameters, with_values as with_values
from .fitting.sensitivity import sensitivity as sensitivity
from .fitting.soft_features import soft_features as soft_features

# Experiments
from .engine.inputs import Sampled as Sampled
from .lab.current_clamp import (
    current_clamp as current_clamp,
    fi_curve as fi_curve,
    input_resistance as input_resistance,
    rheobase as rheobase,
)
from .lab.dynamic_clamp import dynamic_clamp as dynamic_clamp
from .lab.energy import energy as energy
from .lab.noise import OU as OU, Bombardment as Bombardment, White as White, noisy as noisy
from .lab.phase_response import phase_response as phase_response
from .lab.protocols import (
    Drive as Drive,
    Ramp as Ramp,
    Steps as Steps,
    Zap as Zap,
    simulate_driven as simulate_driven,
    step as step,
)
from .lab.regulation import regulate as regulate
from .lab.robustness import (
    crash as crash,
    knockouts as knockouts,
    robustness as robustness,
)
from .lab.snapshots import load_state as load_state, save_state as save_state
from .lab.temperature import Q10s as Q10s, at_temperature as at_temperature, sweep_temperature as sweep_temperature
from .lab.voltage_clamp import (
    activation as activation,
    clamp_family as clamp_family,
    inactivation as inactivation,
    voltage_clamp as voltage_clamp,
)

# Other tools
from .explorer import explore as explore
from .config import find_circuit as find_circuit
from .export.brian2_bridge import brian2_function as brian2_function
from .export.to_brian2 import brian2_script as brian2_script, to_brian2 as to_brian2
from .export.to_neuroml import to_neuroml as to_neuroml
from .export.to_neuron import to_neuron as to_neuron
from .files.store import ThermalizationStore as ThermalizationStore
from .fitting.torch_bridge import CircuitModule as CircuitModule, LIFModule as LIFModule, to_torch as to_torch

# Modules
from . import (
    abilities as abilities,
    config as config,
    database as database,
    engine as engine,
    ensembles as ensembles,
    export as export,
    files as files,
    fitting as fitting,
    lab as lab,
    models as models,
    plotting as plotting,
    prinz2004 as prinz2004,
    rhythm as rhythm,
)

__version__: str
