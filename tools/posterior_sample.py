"""How pyloric_simulator/data/posterior_*.parquet were made: from the prior of 31 parameters to a posterior, and to the tests of it.

python tools/posterior_sample.py FOLDER goes on where it was stopped, and writes the tables into FOLDER/data. It needs the extras sbi and
parquet, and scikit-learn. The circuits of the prior are those of tools/prior_sample.py: --prior says the folder that has them, and without
it they are run. Circuits take 20 ms of a core each, forty minutes in all, and are kept in a folder for each round; the networks take some
minutes.
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import prior_sample
import torch
from prior_sample import CHUNK
from sbi.diagnostics import check_tarp, run_sbc, run_tarp
from sbi.diagnostics.sbc import check_uniformity_frequentist
from sbi.inference import NPE
from sbi.inference.posteriors import DirectPosterior
from sbi.neural_nets import posterior_nn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch.distributions import Distribution, Independent, SigmoidTransform, TransformedDistribution, Uniform

from pyloric_simulator import database
from pyloric_simulator.config import sample_file
from pyloric_simulator.database import SYNAPSES
from pyloric_simulator.fitting.inference import ENERGIES, FEATURES, PARAMETERS, STATISTICS, prior, simulator
from pyloric_simulator.rhythm import verdict

SETTING = prior_sample.OURS  # that of the paper, with the scheme of this package and twice the step
COLUMNS = [*PARAMETERS, *SETTING.statistics]
CIRCUITS = {1: 49 * CHUNK, 2: 20 * CHUNK, 3: 28 * CHUNK}  # that are run in each round
FIRST = 47 * CHUNK  # circuits of the prior from which the first restriction is learnt
MISSED = 0.1  # share of the valid circuits that each restriction may lose
CANDIDATES, TESTS = 40, 300  # circuits among which one to observe is looked for; circuits kept for tests
DRAWS, OF_CRAB = CHUNK, 8 * CHUNK  # draws that are run of the posterior of the known circuit, and of that of the crab
RANKED = 500  # draws among which a true value is ranked
BOX = prior().torch()
LOW, HIGH = (torch.tensor(corner, dtype=torch.float32) for corner in prior().box)

torch.set_num_threads(2)


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file has; it is made where it is not there."""
    if not path.exists():
        torch.save(make(), path)
    return torch.load(path, weights_only=False)


# ---------------------------------------------------------------- circuits


def run(folder: Path, name: str, theta: torch.Tensor, seed: int) -> torch.Tensor:
    """Statistics and energies (n, s) of circuits θ (n, 31), NaN where undefined; kept in a folder for each `CHUNK`.

    Row i of chunk k has the noise of row i and seed 1000 · seed + k.
    """
    found = [
        simulator(part.double().numpy(), 1000 * seed + k, folder / name / f"{k:04d}", setting=SETTING)
        for k, part in enumerate(theta.split(CHUNK))
    ]
    return torch.as_tensor(np.concatenate(found), dtype=torch.float32)


def of_prior(where: Path, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first n circuits of the prior that tools/prior_sample.py keeps in a folder, θ and what was found; what is not there is run."""
    there = prior_sample.done(where, "ours") if (where / "ours").is_dir() else ()
    if len(there) < n:
        prior_sample.run(where, "ours", SETTING, n)
    found = prior_sample.done(where, "ours").loc[: n - 1]
    assert len(found) == n
    return as_tensor(prior().sample(n, prior_sample.SEED)), as_tensor(found[list(SETTING.statistics)].to_numpy())


def as_tensor(x: Any) -> torch.Tensor:
    """Numbers in single precision."""
    return torch.tensor(np.array(x, dtype=np.float32))


def valid(x: torch.Tensor) -> torch.Tensor:
    """Which circuits (n,) have all statistics."""
    return x[:, : len(STATISTICS)].isfinite().all(1)


def judged(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether circuits (n,) are pyloric-like and pyloric by the paper's criteria, but for the regularity of their period."""
    found = pd.DataFrame(x[:, : len(STATISTICS)].double().numpy(), columns=STATISTICS)
    found["delay_PDstart_PYstart"] = found["delay_PDstart_LPstart"] + found["delay_LPstart_PYstart"]
    like, pyloric = verdict(found[list(FEATURES)].to_numpy(), np.zeros(len(x)))
    return like, pyloric


# ---------------------------------------------------------------- where to look


class Restriction(NamedTuple):
    """Where a classifier expects valid circuits."""

    classifier: Any  # of θ in parts of the prior's width
    least: float  # that its answer has to be

    def inside(self, theta: torch.Tensor) -> np.ndarray:
        """Which circuits (n,) it lets through."""
        found: np.ndarray = self.classifier.decision_function(unit(theta)) >= self.least
        return found


def unit(theta: torch.Tensor) -> np.ndarray:
    """θ in parts of the prior's width, −1 to 1."""
    return (2 * (theta - LOW) / (HIGH - LOW) - 1).double().numpy()


def restricted(theta: torch.Tensor, x: torch.Tensor) -> Restriction:
    """The part of the prior in which a logistic regression on squares and products expects valid circuits.

    Each circuit is judged by a regression that has not seen it; the threshold is passed by all valid ones but `MISSED`.
    """
    u, y = unit(theta), valid(x).numpy()
    regression = LogisticRegression(C=0.003, class_weight="balanced", max_iter=300)
    classifier = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), regression)
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    unseen = cross_val_predict(classifier, u, y, cv=folds, method="decision_function")
    return Restriction(classifier.fit(u, y), float(np.quantile(unseen[y], MISSED)))


def inside(restrictions: list[Restriction], theta: torch.Tensor) -> np.ndarray:
    """Which circuits (n,) all restrictions let through."""
    return np.all([each.inside(theta) for each in restrictions], axis=0)


def draws_of(restrictions: list[Restriction], n: int, seed: int) -> torch.Tensor:
    """Circuits θ (n, 31) of the prior, restricted one time after the other."""
    torch.manual_seed(seed)
    found: list[torch.Tensor] = []
    while sum(map(len, found)) < n:
        theta = BOX.sample((20_000,))
        found.append(theta[torch.as_tensor(inside(restrictions, theta))])
    return torch.cat(found)[:n]


Rounds = dict[int, torch.Tensor]


def rounds(folder: Path, where: Path) -> tuple[Rounds, Rounds, list[Restriction]]:
    """Circuits θ and what was found by round: of the prior, and of it restricted by what was known before; the restrictions."""
    theta, x, restrictions = {}, {}, []
    theta[1], x[1] = of_prior(where, CIRCUITS[1])
    for n in sorted(CIRCUITS)[1:]:
        first = FIRST if n == 2 else CIRCUITS[1]
        known = [torch.cat([each[1][:first], *(each[k] for k in range(2, n))]) for each in (theta, x)]
        restrictions.append(kept(folder / f"restricted{n}.pt", partial(restricted, *known)))
        theta[n] = kept(folder / f"round{n}.pt", partial(draws_of, list(restrictions), CIRCUITS[n], seed=n))
        x[n] = run(folder, f"round{n}", theta[n], seed=n)
    return theta, x, restrictions


def together(theta: Rounds, x: Rounds, restrictions: list[Restriction]) -> pd.DataFrame:
    """All valid circuits: their round and row in it, θ, statistics, and whether they are learnt from or kept for tests.

    Only those inside of all restrictions are: there circuits of all rounds have the density of the prior, up to a factor.
    """
    tables = []
    for n in theta:
        rows = np.flatnonzero(valid(x[n]).numpy())
        numbers = pd.DataFrame(torch.cat([theta[n], x[n]], 1).numpy()[rows], columns=COLUMNS)
        where = inside(restrictions, theta[n][rows])
        tables.append(with_share(numbers).assign(round=np.int8(n), row=rows.astype(np.int32), inside=where))
    table = pd.concat(tables, ignore_index=True)
    test = np.random.default_rng(3).permutation(np.flatnonzero(table["inside"] & (table["round"] > 1)))[:TESTS]
    return table.assign(test=np.isin(np.arange(len(table)), test))


def with_share(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the synapses' share of the energy in the place of six energies."""
    energies = table[list(ENERGIES)].to_numpy(float)
    share = energies[:, 3:].sum(1) / energies.sum(1)
    return table.drop(columns=list(ENERGIES)).assign(synaptic_share=share.astype(np.float32))


def parts(table: pd.DataFrame, test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """θ and statistics of the circuits that are kept for tests, or of those that are learnt from."""
    chosen = table[table["inside"] & (table["test"] == test)]
    return as_tensor(chosen[list(PARAMETERS)]), as_tensor(chosen[list(STATISTICS)])


# ---------------------------------------------------------------- the posterior


def unbounded(theta: torch.Tensor) -> torch.Tensor:
    """u = ln((θ − a)/(b − θ)), which has no bounds through which a density could leak."""
    return torch.logit((theta - LOW) / (HIGH - LOW), eps=1e-6)


def bounded(u: torch.Tensor) -> torch.Tensor:
    """θ of u."""
    return LOW + (HIGH - LOW) * torch.sigmoid(u)


def compressed(x: torch.Tensor) -> torch.Tensor:
    """± ln(1 + |x|), since a few slow circuits have statistics (ms) far from those of all others."""
    return x.sign() * x.abs().log1p()


def prior_of_u() -> Distribution:
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
    network = posterior_nn("nsf", hidden_features=32, num_transforms=2, num_bins=4)
    npe = NPE(prior_of_u(), density_estimator=network, tracker=nowhere, show_progress_bars=False)
    npe.append_simulations(unbounded(theta), compressed(x))
    npe.train(training_batch_size=100)
    return npe.build_posterior(), {name: npe.summary[name] for name in ("training_loss", "validation_loss")}


# ---------------------------------------------------------------- what is observed, and what is foretold


# Of a crab at 11 °C, in the order of `STATISTICS`: the observation of Deistler et al. (2022), as printed in a notebook of theirs,
# paper/fig4/notebooks/03_appendix_active_subspace.ipynb of github.com/mackelab/STG_energy.
CRAB = (
    1170.85859, 206.036434, 214.307031, 412.842187, 0.175970382, 0.183034085, 0.352597820, 0.411600328, 0.630544893,
    481.925781, 256.353125, 275.164844, 42.0460938, 0.235011166, 0.0359104797, 2.5, 2.5, 2.5,
)  # fmt: skip


def observed(folder: Path) -> pd.DataFrame:
    """A pyloric circuit of the database that is pyloric in this setting, too: the first one that has all synapses."""
    sample = database.load(sample_file("staggered"))
    pyloric = sample[sample["pyloric"] & (sample[list(SYNAPSES)] > 0).all(axis=1)].head(CANDIDATES)
    g, gs = database.conductances(pyloric)
    natural = pd.DataFrame(np.hstack([g.reshape(len(g), -1), gs]), columns=list(PARAMETERS))
    theta = as_tensor(prior().theta(natural))
    x = run(folder, "observed", theta, seed=4)
    found = with_share(pd.DataFrame(torch.cat([theta, x], 1).numpy(), pyloric.index, COLUMNS))
    return found[judged(x)[1] & valid(x).numpy()].head(1)


def predicted(folder: Path, name: str, posterior: DirectPosterior, x_o: Any, n: int, seed: int) -> pd.DataFrame:
    """n circuits drawn from the posterior of x_o, with their own statistics."""
    torch.manual_seed(seed)
    sample = lambda: bounded(posterior.sample((n,), x=compressed(as_tensor(x_o))[None], show_progress_bars=False))  # noqa: E731
    theta = kept(folder / f"{name}.pt", sample)
    x = run(folder, name, theta, seed)
    return with_share(pd.DataFrame(torch.cat([theta, x], 1).numpy(), columns=COLUMNS))


# ---------------------------------------------------------------- the tests


def calibrated(posterior: DirectPosterior, theta: torch.Tensor, x: torch.Tensor) -> pd.DataFrame:
    """Ranks (circuit, parameter) of true values among draws; in attrs the curve of TARP, and p values of both tests."""
    torch.manual_seed(6)
    u, x = unbounded(theta), compressed(x)
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


def processor() -> str:
    """The name of this processor, whose roundings the circuits have."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def facts() -> dict[Any, Any]:
    """What all tables say of how they were made."""
    packages = ("pyloric-simulator", "jax", "torch", "sbi", "numpy")
    return {
        "recipe": "tools/posterior_sample.py",
        "setting": {name: str(x) for name, x in SETTING._asdict().items()},
        "versions": {name: version(name) for name in packages},
        "processor": processor(),
        "seeds": f"round 1: those of tools/prior_sample.py; chunk k, of {CHUNK} rows, of round n: 1000 n + k; draws 5, crab 6",
    }


def main(folder: Path, where: Path) -> None:
    """Run all, and write the tables."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    theta, x, restrictions = rounds(folder, where)
    table, known = together(theta, x, restrictions), observed(folder)
    posterior, losses = kept(folder / "posterior.pt", lambda: trained(*parts(table, test=False)))
    draws = predicted(folder, "draws", posterior, known[list(STATISTICS)].to_numpy()[0], DRAWS, seed=5)
    crab = predicted(folder, "crab", posterior, CRAB, OF_CRAB, seed=6)
    tests = kept(folder / "tests.pt", lambda: calibrated(posterior, *parts(table, test=True)))
    counted = {name: counts(as_tensor(each[list(STATISTICS)])) for name, each in (("draws", draws), ("crab", crab))}
    first = {"circuits": FIRST, "valid": int(valid(x[1][:FIRST]).sum())}
    table.attrs = facts() | {"rounds": {str(n): counts(x[n]) for n in x}, "first": first}
    draws.attrs = facts() | {
        "observed": {str(i): row.to_dict() for i, row in known.iterrows()},
        "draws": counted["draws"],
    }
    crab = crab.dropna(subset=list(STATISTICS))
    crab.attrs = facts() | {"observed": dict(zip(STATISTICS, CRAB, strict=True)), "draws": counted["crab"]}
    tests.attrs = facts() | tests.attrs | {"losses": losses}
    for name, each in {"simulations": table, "draws": draws, "crab": crab, "tests": tests}.items():
        write(each, folder / "data" / f"posterior_{name}.parquet")


def write(table: pd.DataFrame, path: Path) -> None:
    """The table as Parquet, its numbers byte by byte, which makes it a third smaller."""
    numbers = list(table.columns[table.dtypes == np.float32])
    whole = list(table.columns.difference(numbers))
    table.to_parquet(
        path, index=False, compression="zstd", compression_level=19, use_dictionary=whole, use_byte_stream_split=numbers
    )


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--prior", type=Path, help="the folder of tools/prior_sample.py")
    given = asked.parse_args()
    main(given.folder, given.prior or given.folder / "prior")
