"""A search under fire: its processes are killed every few seconds until it is done all the same.

    python -m benchmarks.chaos [--trials 100] [--seed 0] [--every 4] [--folder DIR]

The real ``nas search`` runs on real Ray, SQLite and an MLflow server. At random moments ``kill -9``
meets the command, one of its workers, its raylet (a node of Ray), an agent of that or the MLflow
server, which is started again a little later; the process that drives Ray meets SIGABRT and SIGSEGV
too. Whenever the command ends early, the same command is run again. At the end nothing may be lost
or counted twice: see `benchmarks.verdict`. The seed fixes who is killed and the waits, not what
these meet, which is up to the machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import skimage.data
from PIL import Image

from benchmarks.fire import MARK, STUCK_S, Fire, Server
from benchmarks.options import add_json, parser_of, write_json
from benchmarks.processes import carrying, gone
from benchmarks.verdict import faults
from nas.data.prepare import prepare
from studies.core.record import count
from studies.results.snapshot import load
from studies.storage.store import Store

ROOT = Path(__file__).parents[1]
STUDY = "chaos"
_DEATH = "the process that runs the search died"
_STACK_TRACE = re.compile(r"Traceback|\*\*\*|Fatal Python error|_raylet\.so|\.cc:\d+")
"""Of Python and of Ray's core."""
_NAS = "from nas.cli import main; main()"
_SPACE = """
description: more than 300 networks that train in no time
dimensions:
  stem: [conv, unshuffle2, unshuffle3]
  width: {min: 4, max: 20, step: 1}
  depth: {min: 0, max: 2}
  block: [conv, repvgg]
  activation: [relu, prelu]
  tail: [conv3]
  residual: [bicubic]
"""


@dataclass
class Account:
    """What happened, and what is wrong at the end.

    Attributes:
        trials: How many were asked for.
        kills: How often who was killed.
        exits: How often the command ended with which code.
        deaths: How often it said that its driver had died, and continued.
        said: Its last lines where it ended early.
        seconds: What all of it took.
        records: How many trials ended in which way.
        wrong: What was lost, counted twice, told otherwise elsewhere or left running.
    """

    trials: int
    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    deaths: int = 0
    said: list[str] = field(default_factory=list)
    seconds: float = 0.0
    records: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{n} x {victim}" for victim, n in sorted(self.kills.items()))
        exits = ", ".join(f"{n} x {code}" for code, n in sorted(self.exits.items()))
        found = ", ".join(f"{n} {name}" for name, n in sorted(self.records.items()))
        lines = [
            f"{self.trials} trials asked for; {self.seconds:.0f} s",
            f"kills: {self.kills.total()} ({kills})",
            f"the command ran {self.exits.total()} times and ended with ({exits})",
            f"it started its driver again {self.deaths} times",
            f"records: {found}",
            *(f"said: {line}" for line in dict.fromkeys(self.said)),
            *(f"WRONG: {fault}" for fault in self.wrong),
        ]
        return "\n".join(lines if self.wrong else [*lines, "nothing lost, nothing twice"])


def chaos(
    folder: Path,
    trials: int = 100,
    seed: int = 0,
    every_s: float = 4.0,
    at_once: int = 2,
    kills: int | None = None,
) -> Account:
    """Run a search, kill its processes, and verify what comes out.

    Args:
        folder: Empty; gets the study, the store and the logs.
        trials: Goal of the search.
        seed: Of the kills.
        every_s: Seconds between kills, on average.
        at_once: Candidates at once.
        kills: Stop killing after so many; None for no end.
    """
    begin, mark = time.monotonic(), uuid.uuid4().hex
    environment = {
        **os.environ,
        MARK: mark,
        "PYTHONPATH": str(ROOT),
        "NAS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    database = folder / "studies.db"
    storage = f"sqlite:///{database}"
    server = Server(folder, environment)
    command = _command(folder, storage, server.url, trials, at_once)
    fire = Fire(server, database, mark, seed=seed, every_s=every_s, most=kills)
    account = Account(trials, fire.kills)
    try:
        server.start()
        while not _ran(command, folder, environment, fire, account):
            server.start()
        account.seconds = time.monotonic() - begin
        account.records.update(asdict(count(load(Store(storage), STUDY).records)))
        account.wrong += faults(storage, STUDY, trials, server.url)
        if not gone(carrying(MARK, mark) - server.pids(), 60):
            account.wrong.append("processes are left over")
    finally:
        for pid in carrying(MARK, mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return account


def _ran(
    command: list[str], folder: Path, environment: dict[str, str], fire: Fire, account: Account
) -> bool:
    """Run the command under fire; say whether it came to its end, with all of it in MLflow."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        if fire.on(process):
            account.wrong.append(f"it hung for {STUCK_S:.0f} s and was killed")
    account.exits[process.returncode] += 1
    lines = (folder / "said").read_text(errors="replace").splitlines()
    account.deaths += sum(_DEATH in line for line in lines)
    account.wrong += [f"a stack trace: {line}" for line in lines if _STACK_TRACE.search(line)]
    if process.returncode == 0 and not any("not all of it is in MLflow" in line for line in lines):
        return True
    if process.returncode != -signal.SIGKILL:
        account.said += lines[-1:]
    return False


def _command(folder: Path, storage: str, tracking_uri: str, trials: int, at_once: int) -> list[str]:
    (folder / "space.yaml").write_text(_SPACE)
    options = {
        "--space": "space.yaml",
        "--data": str(_pictures(folder)),
        "--teacher": "none",
        "--target": "rtx4090",
        "--steps": 2,
        "--max-colour-loss": "none",  # so short a training tints
        "--trials": trials,
        "--concurrency": at_once,
        "--study": STUDY,
        "--storage": storage,
        "--tracking-uri": tracking_uri,
    }
    named = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-c", _NAS, "search", *named]


def _pictures(folder: Path) -> Path:
    """Prepare four small squares of photographs."""
    (folder / "hr").mkdir(parents=True)
    for index, photo in enumerate((skimage.data.astronaut(), skimage.data.coffee())):
        for side, crop in (("a", photo[:256, :256]), ("b", photo[-256:, -256:])):
            Image.fromarray(crop).save(folder / "hr" / f"{index}{side}.png")
    prepare(folder / "hr", folder / "set", qps=(31, 63), validation=0.3)
    return folder / "set"


def main() -> None:
    """Run it from the command line; exit code 1 when something is wrong."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between kills")
    parser.add_argument("--kills", type=int, help="stop killing after so many; default never")
    parser.add_argument("--folder", type=Path, help="kept; default a temporary one")
    add_json(parser, "the account")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-chaos-") as aside:
        folder = (options.folder or Path(aside)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        account = chaos(folder, options.trials, options.seed, options.every, kills=options.kills)
    print(account)
    write_json(options.json, vars(account))
    sys.exit(bool(account.wrong))


if __name__ == "__main__":
    main()
