"""Long, equal trainings of a list of networks, as a reference for proxy runs.

    nice python -m benchmarks.long long --data wallpapers --work trainings

Trains the networks of ``benchmarks/tables/long.json`` in their order, on one core, and adds a line
to ``benchmarks/tables/long.csv`` after each. It can be stopped and killed: the same command
continues within a training and skips networks in the table. Several processes can share one list.
``forms`` instead of ``long`` trains blocks that fold to the same network, unfolded.
"""

from __future__ import annotations

import csv
import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import parser_of
from nas.data.store import open_set
from nas.measure.cost.counts import count
from nas.measure.latency.predict import LatencyModel
from nas.training.engine.events import Finished, Stepped
from nas.training.engine.trainer import train
from nas.training.recipe.recipe import Recipe, load_recipe
from search_spaces import Architecture
from teachers.loading import load_teacher

TABLES = Path(__file__).parent / "tables"
RECIPES = {"long": "light", "forms": str(TABLES / "branches.yaml")}
STEPS = 20_000
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A training of the list: of a published network, or of a labelled one."""

    name: str
    seed: int
    architecture: Architecture

    @property
    def key(self) -> str:
        """Name of its folder."""
        return f"{self.architecture.key}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        entry: The training.
        gain_db: PSNR-Y over Lanczos on whole held-out images, mean over QPs.
        gain_cb_db: The same of Cb.
        gain_cr_db: The same of Cr.
        runtime_ms: Predicted for an RTX 4090.
        macs: For one 540x960 image.
        params: Of the deploy form.
        seconds: CPU seconds.
    """

    entry: Entry
    gain_db: float
    gain_cb_db: float
    gain_cr_db: float
    runtime_ms: float
    macs: int
    params: int
    seconds: float

    def to_cells(self) -> dict[str, str]:
        """Return the cells of the table."""
        return {
            "name": self.entry.name,
            "seed": str(self.entry.seed),
            "gain_db": f"{self.gain_db:.4f}",
            "gain_cb_db": f"{self.gain_cb_db:.4f}",
            "gain_cr_db": f"{self.gain_cr_db:.4f}",
            "runtime_ms": f"{self.runtime_ms:.4f}",
            "macs": str(self.macs),
            "params": str(self.params),
            "seconds": f"{self.seconds:.0f}",
            "architecture": json.dumps(self.entry.architecture.to_dict(), separators=(",", ":")),
        }

    @classmethod
    def from_cells(cls, cells: Mapping[str, str]) -> Row:
        """Read from a line of the table."""
        architecture = Architecture.from_dict(json.loads(cells["architecture"]))
        return cls(
            Entry(cells["name"], int(cells["seed"]), architecture),
            gain_db=float(cells["gain_db"]),
            gain_cb_db=float(cells["gain_cb_db"]),
            gain_cr_db=float(cells["gain_cr_db"]),
            runtime_ms=float(cells["runtime_ms"]),
            macs=int(cells["macs"]),
            params=int(cells["params"]),
            seconds=float(cells["seconds"]),
        )


def read_list(name: str) -> list[Entry]:
    """Read the list of trainings."""
    return [
        Entry(each["name"], each.get("seed", 0), Architecture.from_dict(each["architecture"]))
        for each in json.loads((TABLES / f"{name}.json").read_text())
    ]


def read_table(name: str) -> list[Row]:
    """Read the finished trainings; empty before the first one."""
    path = TABLES / f"{name}.csv"
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [Row.from_cells(cells) for cells in csv.DictReader(lines)]


def add_row(name: str, row: Row) -> None:
    """Add a line to the table; a new table begins with the origin of its figures."""
    cells = row.to_cells()
    with (TABLES / f"{name}.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, cells, lineterminator="\n")
        if not file.tell():
            recipe = Path(RECIPES[name]).stem
            file.write(f"# recipe {recipe}, {STEPS} steps, hat-tiny, torch {torch.__version__}\n")
            writer.writeheader()
        writer.writerow(cells)


@contextmanager
def free(name: str, work: Path) -> Iterator[Entry | None]:
    """Return the first training that no other process holds, locked; None if there is none."""
    done = {row.entry.key for row in read_table(name)}
    for entry in read_list(name):
        if entry.key not in done:
            with (work / f"{name}-{entry.key}.lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield entry
                return
    yield None


def row_of(entry: Entry, recipe: Recipe, out: Path, **given: Any) -> Row:
    """Train one network, or continue; print a line per minute."""
    printed = time.monotonic()
    counts, predicted = count(entry.architecture), LatencyModel.load().predict(entry.architecture)
    print(f"{entry.name}, seed {entry.seed}: {predicted.ms:.2f} ms predicted", flush=True)
    for event in train(entry.name, entry.architecture, recipe, out=out, seed=entry.seed, **given):
        match event:
            case Stepped() if time.monotonic() > printed + _MINUTE_S:
                printed = time.monotonic()
                print(f"  step {event.step}, {event.steps_per_second:.1f} steps/s", flush=True)
            case Finished():
                end = event
    assert end.gain_cb_db is not None and end.gain_cr_db is not None
    colour = end.gain_cb_db, end.gain_cr_db
    sizes = counts.macs, counts.params
    return Row(entry, end.gain_db, *colour, predicted.ms, *sizes, end.seconds)


def main() -> None:
    """Train what is missing in the table."""
    parser = parser_of(__doc__)
    parser.add_argument("name", choices=RECIPES, help="list of trainings")
    parser.add_argument("--data", type=Path, required=True, help="prepared dataset")
    parser.add_argument("--work", type=Path, default=Path("trainings"), help="for checkpoints")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    recipe = load_recipe(RECIPES[options.name]).scaled(STEPS)
    pair_set, teacher = open_set(options.data), load_teacher("hat-tiny")
    while True:
        with free(options.name, options.work) as entry:
            if entry is None:
                return
            out = options.work / f"{options.name}-{entry.key}"
            row = row_of(entry, recipe, out, pair_set=pair_set, teacher=teacher)
            add_row(options.name, row)
            print(f"{entry.name}: {row.gain_db:+.3f} dB in {row.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
