"""Accuracy of short trainings: proxy runs of several lengths compared with `long.csv`.

    nice python -m benchmarks.truth --data wallpapers --data sample

Runs what ``benchmarks/tables/proxies.csv`` lacks of the networks in ``long.csv``, a line each, then
prints how each predictor ranks them: Kendall's coefficient overall and within `SIMILAR` runtimes,
and the regret: the long gain that is lost by choosing the predictor's best network within each such
band. ``--only`` prints without running.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.long import TABLES, Row, read_table
from benchmarks.options import numbers, parser_of
from nas.data.sample import sample_set
from nas.measure.rank_metrics import SIMILAR, Field, judge
from nas.training.proxy.proxy import VERSION, ProxySettings
from nas.training.proxy.runs import ProxyDataSpec, ProxyJob, ProxyRun, run_all
from studies.sampling.features import features
from studies.sampling.gain_model import fit_gains, shipped_prior

SAMPLE = "sample"
_COLUMNS = ("set", "key", "steps", "seed", "gain_db", "seconds", "version")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy run: dataset, network, length and gain."""

    data: str
    key: str
    steps: int
    gain_db: float


def read_proxies(path: Path = TABLES / "proxies.csv") -> list[Proxy]:
    """Read the proxy runs of the current recipe; those that diverged have no gain."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Proxy(row["set"], row["key"], int(row["steps"]), float(row["gain_db"]))
            for row in csv.DictReader(file)
            if int(row["version"]) == VERSION
        ]


def run_missing(
    rows: Sequence[Row], folders: Mapping[str, Path], budgets: Sequence[int], workers: int
) -> None:
    """Run what the table lacks, network by network, and add a line for each run."""
    path = TABLES / "proxies.csv"
    done = {(proxy.data, proxy.key, proxy.steps) for proxy in read_proxies()}
    for row in rows:
        for name, folder in folders.items():
            steps = [n for n in budgets if (name, row.entry.key, n) not in done]
            jobs = [
                ProxyJob(row.entry.name, row.entry.architecture, ProxySettings(steps=n))
                for n in steps
            ]
            runs = run_all(jobs, ProxyDataSpec(folder, "hat-tiny"), workers=workers)
            _add(path, [_cells(name, row, n, run) for n, run in zip(steps, runs, strict=True)])


def _cells(name: str, row: Row, steps: int, run: ProxyRun) -> list[str]:
    gain = "-inf" if run.gain_db is None else f"{run.gain_db:.5f}"
    return [name, row.entry.key, str(steps), "0", gain, f"{run.seconds:.1f}", str(VERSION)]


def _add(path: Path, lines: list[list[str]]) -> None:
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not file.tell():
            writer.writerow(_COLUMNS)
        writer.writerows(lines)
    for line in lines:
        print(" ".join(line), flush=True)


def guesses(rows: Sequence[Row], proxies: Sequence[Proxy]) -> Iterator[tuple[str, np.ndarray]]:
    """Return all predictors by name; larger is better."""
    found = {(proxy.data, proxy.key, proxy.steps): proxy.gain_db for proxy in proxies}
    runs = sorted({(proxy.data, proxy.steps) for proxy in proxies})
    known = {}
    for name, steps in runs:
        gains = [found.get((name, row.entry.key, steps)) for row in rows]
        if None not in gains:
            known[name, steps] = np.array(gains, dtype=float)
            yield f"{steps} steps, {name}", known[name, steps]
    sizes = np.array([[row.macs, row.params, row.runtime_ms] for row in rows])
    yield from zip(("MACs", "parameters", "predicted runtime"), sizes.T, strict=True)
    yield "shipped gain model", shipped_prior().predict(_features(rows))
    for name in sorted({name for name, _ in known}):
        lengths = sorted(steps for each, steps in known if each == name)
        for steps in lengths:
            yield f"{steps} steps, {name}, with gain model", _left_out(rows, known[name, steps])
        for short, long in itertools.pairwise(lengths):
            grown = 2 * known[name, long] - known[name, short]
            yield f"{short} and {long} steps, {name}, extrapolated", grown


def _features(rows: Sequence[Row]) -> np.ndarray:
    return np.array([features(r.entry.architecture, r.macs, r.params) for r in rows])


def _left_out(rows: Sequence[Row], gains_db: np.ndarray) -> np.ndarray:
    """Return the prediction of the gain model for each network, with its own proxy run."""
    inputs = _features(rows)
    model = fit_gains(shipped_prior(), inputs, gains_db, [0.008] * len(rows))
    return model.predict(inputs)[0]


def regret_db(guess: np.ndarray, gains_db: np.ndarray, runtimes_ms: np.ndarray) -> float:
    """Return the mean gain lost by the choice among similar runtimes, over networks."""
    lost = []
    for runtime_ms in runtimes_ms:
        near = np.abs(np.log(runtimes_ms / runtime_ms)) <= np.log(SIMILAR)
        lost.append(gains_db[near].max() - gains_db[near][guess[near].argmax()])
    return fmean(lost)


def table(rows: Sequence[Row], proxies: Sequence[Proxy]) -> Iterator[str]:
    """Return the predictors as a Markdown table."""
    gains_db = np.array([row.gain_db for row in rows])
    runtimes_ms = np.array([row.runtime_ms for row in rows])
    factors = tuple(row.entry.architecture.factor for row in rows)
    field = Field(tuple(gains_db), tuple(runtimes_ms), factors)
    yield f"{len(rows)} networks; luck alone moves Kendall by {field.chance_kendall_sd:.2f}"
    yield "| guess | Kendall | similar runtime | of pairs | regret dB |"
    yield "|---|---|---|---|---|"
    for name, guess in guesses(rows, proxies):
        verdict = judge([guess.tolist()], field)
        similar = verdict.similar
        near = "-" if similar.kendall is None else f"{similar.kendall:+.2f}"
        lost = regret_db(guess, gains_db, runtimes_ms)
        yield f"| {name} | {verdict.kendall:+.2f} | {near} | {similar.pairs} | {lost:.4f} |"


def main() -> None:
    """ProxyRun what is missing and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--data", action="append", default=[], help=f"a dataset, or {SAMPLE}")
    parser.add_argument("--steps", type=numbers, default=[300, 600, 1200, 2400], metavar="A,B")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", action="store_true", help="print, run nothing")
    options = parser.parse_args()
    rows = [row for row in read_table("long") if row.entry.seed == 0]
    if not options.only:
        folders = {
            Path(each).name: sample_set() if each == SAMPLE else Path(each) for each in options.data
        }
        run_missing(rows, folders, options.steps, options.workers)
    print("\n".join(table(rows, read_proxies())))


if __name__ == "__main__":
    main()
