"""How pyloric_simulator/data/posterior_*.parquet were made: from the prior of 31 parameters to a posterior, and to the tests of it.

python tools/posterior_sample.py FOLDER goes on where it was stopped, and writes the tables into FOLDER/data. It needs the extras sbi and
parquet. Most of its time goes into the circuits, which are kept in a folder for each round; the networks are trained in minutes.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sbi.diagnostics import check_tarp, run_sbc, run_tarp
from sbi.diagnostics.sbc import check_uniformity_frequentist
from sbi.inference import NPE
from sbi.inference.posteriors import DirectPosterior
from sbi.neural_nets import posterior_nn
from sbi.utils import RestrictionEstimator
from torch.distributions import Independent, SigmoidTransform, TransformedDistribution, Uniform

from pyloric_simulator import database
from pyloric_simulator.config import sample_file
from pyloric_simulator.database import SYNAPSES
from pyloric_simulator.fitting.inference import FEATURES, PARAMETERS, STATISTICS, prior, setting, simulator
from pyloric_simulator.rhythm import verdict

# That of the paper, with the scheme of this package and four times the step.
SETTING = setting("deistler2022")._replace(solver="staggered", dt=0.1)
COLUMNS = [*PARAMETERS, *STATISTICS]
CIRCUITS = {1: 9_216, 2: 4_096}  # that are run in each round; more can be added, and a third round
DRAWN = 6_144  # of a restricted prior, at least as many as are run
MISSED = 0.1  # share of the valid circuits that a restricted prior may lose
CANDIDATES, TESTS = 40, 50  # circuits among which one to observe is looked for; circuits kept for tests
DRAWS, RANKED = 512, 500  # draws that are run; draws among which a true value is ranked
BOX = prior().torch()
LOW, HIGH = (torch.tensor(corner, dtype=torch.float32) for corner in prior().box)

torch.set_num_threads(1)


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file has; it is made where it is not there."""
    if not path.exists():
        torch.save(make(), path)
    return torch.load(path, weights_only=False)


# ---------------------------------------------------------------- circuits


def run(folder: Path, name: str, theta: torch.Tensor, seed: int) -> torch.Tensor:
    """Statistics (n, s) of circuits θ (n, 31), kept in a folder; NaN where undefined."""
    found = simulator(theta.double().numpy(), seed, folder / name, setting=SETTING)
    return torch.as_tensor(found, dtype=torch.float32)


def valid(x: torch.Tensor) -> torch.Tensor:
    """Which circuits (n,) have all statistics."""
    return x.isfinite().all(1)


def judged(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether circuits (n,) are pyloric-like and pyloric by the paper's criteria, but for the regularity of their period."""
    found = pd.DataFrame(x.double().numpy(), columns=STATISTICS)
    found["delay_PDstart_PYstart"] = found["delay_PDstart_LPstart"] + found["delay_LPstart_PYstart"]
    like, pyloric = verdict(found[list(FEATURES)].to_numpy(), np.zeros(len(x)))
    return like, pyloric


# ---------------------------------------------------------------- where to look


def restricted(theta: torch.Tensor, x: torch.Tensor) -> Any:
    """The part of the prior in which a network expects valid circuits."""
    torch.manual_seed(1)
    estimator = RestrictionEstimator(BOX, hidden_features=50)
    estimator.append_simulations(theta, x)
    share = valid(x).float().mean().item()
    estimator.train(subsample_invalid_sims=min(5 * share, 1.0), validation_fraction=0.3, max_num_epochs=100)
    return estimator.restrict_prior(allowed_false_negatives=MISSED)


def draws_of(restriction: Any, n: int, seed: int) -> torch.Tensor:
    """Circuits θ (n, 31) of a restricted prior."""
    torch.manual_seed(seed)
    with torch.no_grad():
        theta: torch.Tensor = restriction.sample((n,), max_sampling_batch_size=100_000, print_rejected_frac=False)
    return theta


Rounds = dict[int, torch.Tensor]


def rounds(folder: Path) -> tuple[Rounds, Rounds, Any]:
    """All circuits and their statistics by round: of the prior, and of it restricted by all that was run before; the last restriction."""
    theta = {1: torch.as_tensor(prior().sample(CIRCUITS[1], seed=1), dtype=torch.float32)}
    x, restriction = {1: run(folder, "round1", theta[1], seed=1)}, None
    for n in sorted(CIRCUITS)[1:]:
        known = torch.cat(list(theta.values())), torch.cat(list(x.values()))
        restriction = kept(folder / f"restricted{n}.pt", lambda known=known: restricted(*known))
        theta[n] = kept(folder / f"round{n}.pt", lambda n=n, where=restriction: draws_of(where, DRAWN, seed=n))[
            : CIRCUITS[n]
        ]
        x[n] = run(folder, f"round{n}", theta[n], seed=n)
    return theta, x, restriction


def together(theta: Rounds, x: Rounds, restriction: Any) -> pd.DataFrame:
    """All valid circuits: their round and row in it, θ, statistics, and whether they are learnt from or kept for tests.

    Only those inside of the last restriction are: there circuits of all rounds have the density of the prior, up to a factor.
    """
    tables = []
    for n in theta:
        rows = np.flatnonzero(valid(x[n]).numpy())
        numbers = pd.DataFrame(torch.cat([theta[n], x[n]], 1).numpy()[rows], columns=COLUMNS)
        tables.append(
            numbers.assign(round=np.int8(n), row=rows.astype(np.int32), inside=inside(restriction, theta[n][rows]))
        )
    table = pd.concat(tables, ignore_index=True)
    test = np.random.default_rng(3).permutation(np.flatnonzero(table["inside"] & (table["round"] > 1)))[:TESTS]
    return table.assign(test=np.isin(np.arange(len(table)), test))


def inside(restriction: Any, theta: torch.Tensor) -> np.ndarray:
    """Which circuits (n,) a restricted prior could have drawn."""
    with torch.no_grad():
        found: np.ndarray = restriction._accept_reject_fn(theta).numpy()
    return found


def parts(table: pd.DataFrame, test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """θ and statistics of the circuits that are kept for tests, or of those that are learnt from."""
    chosen = table[table["inside"] & (table["test"] == test)]
    theta, x = (
        torch.as_tensor(chosen[list(names)].to_numpy(), dtype=torch.float32) for names in (PARAMETERS, STATISTICS)
    )
    return theta, x


# ---------------------------------------------------------------- the posterior


def unbounded(theta: torch.Tensor) -> torch.Tensor:
    """u = ln((θ − a)/(b − θ)), which has no bounds through which a density could leak."""
    return torch.logit((theta - LOW) / (HIGH - LOW), eps=1e-6)


def bounded(u: torch.Tensor) -> torch.Tensor:
    """θ of u."""
    return LOW + (HIGH - LOW) * torch.sigmoid(u)


def prior_of_u() -> Independent:
    """The prior of u, a logistic distribution of each parameter."""
    zero = torch.zeros(len(PARAMETERS))
    unit = Uniform(zero, zero + 1, validate_args=False)
    return Independent(
        TransformedDistribution(unit, [SigmoidTransform().inv], validate_args=False), 1, validate_args=False
    )


def trained(theta: torch.Tensor, x: torch.Tensor) -> tuple[DirectPosterior, dict[str, list[float]]]:
    """The posterior of u for any statistics, and the losses of each epoch."""
    torch.manual_seed(2)
    nowhere = SimpleNamespace(log_metric=lambda *_, **__: None, flush=lambda: None)
    network = posterior_nn("nsf", hidden_features=50, num_transforms=3)
    npe = NPE(prior_of_u(), density_estimator=network, tracker=nowhere, show_progress_bars=False)
    npe.append_simulations(unbounded(theta), x)
    npe.train(training_batch_size=100)
    return npe.build_posterior(), {name: npe.summary[name] for name in ("training_loss", "validation_loss")}


# ---------------------------------------------------------------- what is observed, and what is foretold


def observed(folder: Path) -> pd.DataFrame:
    """A pyloric circuit of the database that is pyloric in this setting, too: the first one that has all synapses."""
    sample = database.load(sample_file("staggered"))
    pyloric = sample[sample["pyloric"] & (sample[list(SYNAPSES)] > 0).all(axis=1)].head(CANDIDATES)
    g, gs = database.conductances(pyloric)
    natural = pd.DataFrame(np.hstack([g.reshape(len(g), -1), gs]), columns=list(PARAMETERS))
    theta = torch.as_tensor(prior().theta(natural), dtype=torch.float32)
    x = run(folder, "observed", theta, seed=4)
    found = pd.DataFrame(torch.cat([theta, x], 1).numpy(), pyloric.index, COLUMNS)
    return found[judged(x)[1] & valid(x).numpy()].head(1)


def predicted(folder: Path, posterior: DirectPosterior, x_o: torch.Tensor) -> pd.DataFrame:
    """Circuits drawn from the posterior of x_o, with their own statistics."""
    torch.manual_seed(5)
    theta = kept(folder / "draws.pt", lambda: bounded(posterior.sample((DRAWS,), x=x_o, show_progress_bars=False)))
    x = run(folder, "draws", theta, seed=5)
    return pd.DataFrame(torch.cat([theta, x], 1).numpy(), columns=COLUMNS)


# ---------------------------------------------------------------- the tests


def calibrated(posterior: DirectPosterior, theta: torch.Tensor, x: torch.Tensor) -> pd.DataFrame:
    """Ranks (circuit, parameter) of true values among draws; in attrs the curve of TARP, and p values of both tests."""
    torch.manual_seed(6)
    u = unbounded(theta)
    ranks, _ = run_sbc(u, x, posterior, num_posterior_samples=RANKED, show_progress_bar=False)
    p_values = check_uniformity_frequentist(ranks, RANKED)
    coverage, credibility = run_tarp(u, x, posterior, num_posterior_samples=RANKED, show_progress_bar=False)
    area, p = check_tarp(coverage, credibility)
    table = pd.DataFrame(ranks.numpy().astype(np.uint16), columns=list(PARAMETERS))
    table.attrs = {
        "sbc": dict(zip(PARAMETERS, p_values.tolist(), strict=True)),
        "tarp": {
            "credibility": credibility.tolist(),
            "coverage": coverage.tolist(),
            "area": float(area),
            "p": float(p),
        },
    }
    return table


# ---------------------------------------------------------------- tables


def counts(x: torch.Tensor) -> dict[str, int]:
    """How many circuits there are, and how many of them are valid, pyloric-like and pyloric."""
    like, pyloric = judged(x)
    return {
        "circuits": len(x),
        "valid": int(valid(x).sum()),
        "pyloric_like": int(like.sum()),
        "pyloric": int(pyloric.sum()),
    }


def main(folder: Path) -> None:
    """Run all, and write the tables."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    theta, x, restriction = rounds(folder)
    table, known = together(theta, x, restriction), observed(folder)
    posterior, losses = kept(folder / "posterior.pt", lambda: trained(*parts(table, test=False)))
    draws = predicted(folder, posterior, torch.as_tensor(known[list(STATISTICS)].to_numpy(), dtype=torch.float32))
    tests = kept(folder / "tests.pt", lambda: calibrated(posterior, *parts(table, test=True)))
    packages = ("pyloric-simulator", "jax", "torch", "sbi", "numpy")
    recipe = {
        "recipe": "tools/posterior_sample.py", "setting": {name: str(x) for name, x in SETTING._asdict().items()},
        "versions": {name: version(name) for name in packages}, "seeds": "that of a round is its number; draws have 5",
    }  # fmt: skip
    table.attrs = recipe | {"rounds": {str(n): counts(x[n]) for n in x}}
    shown = torch.as_tensor(draws[list(STATISTICS)].to_numpy())
    draws.attrs = recipe | {"observed": {str(i): row.to_dict() for i, row in known.iterrows()}, "draws": counts(shown)}
    tests.attrs = recipe | tests.attrs | {"losses": losses}
    for name, each in {"simulations": table, "draws": draws, "tests": tests}.items():
        each.to_parquet(folder / "data" / f"posterior_{name}.parquet", index=False, compression="zstd")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
