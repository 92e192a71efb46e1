"""A search under fire: its processes are killed every few seconds until it is done all the same.

    python -m benchmarks.chaos [--trials 100] [--seed 0] [--every 4] [--folder DIR]

The real ``nas search`` runs on real Ray, SQLite and an MLflow server. At random moments ``kill -9``
meets its driver, one of its workers, its raylet (a node of Ray) or the MLflow server, which is
started again a little later. Whenever the command ends early, the same command is run again. At the
end nothing may be lost or counted twice: see `verify`. The seed fixes who is killed and the waits,
not what these meet, which is up to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDY = "chaos"
_MARK = "NAS_CHAOS"  # in the environment of every process of a run
_NAS = "from nas.cli import main; main()"
_VICTIMS = {"worker": 5, "driver": 2, "raylet": 1, "server": 2}
_SERVER_AWAY_S = 3.0  # on average
_STUCK_S = 300.0  # without a trial and without a kill: it hangs
_SPACE = """
description: more than 200 networks that train in no time
dimensions:
  stem: [conv, unshuffle2, unshuffle3]
  width: {min: 8, max: 20, step: 2}
  depth: {min: 0, max: 2}
  block: [conv, repvgg]
  activation: [relu, prelu]
  tail: [conv3]
  residual: [bicubic]
"""


@dataclass
class Account:
    """What happened, and what is wrong at the end."""

    trials: int
    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
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
    account, luck, begin = Account(trials), random.Random(seed), time.monotonic()
    command = [*_command(folder, trials, at_once)]
    mark = uuid.uuid4().hex
    environment = {
        **os.environ,
        _MARK: mark,
        "PYTHONPATH": str(ROOT),
        "NAS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    server = Server(folder, environment)
    command += ["--tracking-uri", server.url]
    try:
        server.start()
        while True:
            with (folder / "said").open("wb") as said:
                driver = subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=said, stderr=said
                )
                _fire(driver, server, folder, mark, luck, every_s, kills, account)
            account.exits[driver.returncode] += 1
            lines = (folder / "said").read_text(errors="replace").splitlines()
            if driver.returncode == 0 and not any("not all of it is in MLflow" in x for x in lines):
                break
            if driver.returncode != -signal.SIGKILL:
                account.said += lines[-1:]
            account.wrong += [f"a stack trace: {line}" for line in lines if "Traceback" in line]
            server.start()
        account.seconds = time.monotonic() - begin
        verify(folder, server.url, account)
        if not _gone(_marked(mark) - server.pids(), 60):
            account.wrong.append("processes are left over")
    finally:
        for pid in _marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return account


def verify(folder: Path, tracking_uri: str, account: Account) -> None:
    """Add to the account whatever was lost, counted twice, or is told otherwise elsewhere."""
    import optuna
    from mlflow import MlflowClient

    from studies.front import front, trained
    from studies.reading import read_study
    from studies.record import counts

    storage = _storage(folder)
    _, records = read_study(storage, STUDY)
    tally = counts(records)
    account.records.update({name: getattr(tally, name) for name in tally.__dataclass_fields__})

    def check(sound: bool, fault: str) -> None:
        if not sound:
            account.wrong.append(fault)

    check(tally.trained == account.trials, f"{tally.trained} trials are trained")
    check(tally.running == 0, f"{tally.running} trials are still running")
    layouts = Counter(r.candidate.layout for r in records if r.duplicate_of is None)
    twice = [layout for layout, n in layouts.items() if n > 1]
    check(not twice, f"{len(twice)} architectures were evaluated twice")

    # The front once more, from Optuna's own figures and by the definition alone.
    done = [
        trial
        for trial in optuna.load_study(study_name=STUDY, storage=storage).trials
        if trial.state == optuna.trial.TrialState.COMPLETE
        and "duplicate_of" not in trial.user_attrs
    ]
    check(len(done) == account.trials, f"Optuna has {len(done)} finished trials")
    points = {trial.number: (trial.values[0], -trial.values[1]) for trial in done}
    undominated = {
        number
        for number, mine in points.items()
        if not any(
            all(a >= b for a, b in zip(o, mine, strict=True)) and o != mine for o in points.values()
        )
    }
    shown = {member.trial for member in front(trained(records))}
    check(
        {points[n] for n in shown} == {points[n] for n in undominated},
        f"the front is {sorted(shown)}, recomputed {sorted(undominated)}",
    )

    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name("nas-workbench").experiment_id
    children = _all_runs(client, experiment, "tags.kind = 'trial'")
    told = Counter(int(run.data.tags["trial"]) for run in children)
    check(
        told == Counter(record.trial for record in records),
        f"MLflow has {len(children)} child runs of {len(told)} trials for {len(records)} records",
    )
    finished = [run for run in children if run.info.status == "FINISHED"]
    own = [run for run in finished if "duplicate_of" not in run.data.tags]
    check(len(own) == account.trials, f"MLflow has {len(own)} finished trials")
    check(all("gain_db" in run.data.metrics for run in own), "MLflow lacks gains")
    parents = _all_runs(client, experiment, "tags.kind = 'study'")
    check(len(parents) == 1, f"MLflow has {len(parents)} runs of the study")
    unready = [run for run in children if run.info.status == "RUNNING"]
    check(not unready, f"{len(unready)} child runs are half written")


class Server:
    """An MLflow server with SQLite behind it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._back = 0.0
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Have it answer."""
        if self._process is None:
            self._launch()
        deadline = time.monotonic() + 180
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError("the MLflow server does not start")
            time.sleep(0.2)

    def kill(self, away_s: float) -> bool:
        """End all its processes at once, until so many seconds are over."""
        if self._process is None:
            return False
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process, self._back = None, time.monotonic() + away_s
        return True

    def look_after(self) -> None:
        """Start it again when its time has come."""
        if self._process is None and time.monotonic() >= self._back:
            self._launch()

    def pids(self) -> set[int]:
        """Of its group."""
        group = None if self._process is None else self._process.pid
        found = set()
        for pid in _numbers():
            with suppress(ProcessLookupError):
                if os.getpgid(pid) == group:
                    found.add(pid)
        return found

    def _launch(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**self._environment, **quiet},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _fire(
    driver: subprocess.Popen[bytes],
    server: Server,
    folder: Path,
    mark: str,
    luck: random.Random,
    every_s: float,
    kills: int | None,
    account: Account,
) -> None:
    """Kill at random while a command runs; return when it has ended.

    Most kills but the server's wait until a trial has ended since the last: else a slow machine
    would never get past the start of a worker.
    """
    found, begun = _ended(folder), time.monotonic()
    spared = luck.random() < 0.8
    following = begun + luck.expovariate(1 / every_s)
    while driver.poll() is None:
        time.sleep(0.05)
        server.look_after()
        now = time.monotonic()
        if now - max(begun, following) > _STUCK_S and _ended(folder) == found:
            account.wrong.append(f"it hung for {_STUCK_S:.0f} s and was killed")
            driver.kill()
            driver.wait()
            return
        if now < following or (kills is not None and account.kills.total() >= kills):
            continue
        victim = luck.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
        following = now + luck.expovariate(1 / every_s)
        if victim != "server" and spared and _ended(folder) == found:
            continue
        if victim == "server":
            killed = server.kill(luck.expovariate(1 / _SERVER_AWAY_S))
        elif victim == "driver":
            driver.kill()
            killed = True
        else:
            killed = _kill_one(_title_of(victim), _marked(mark), luck)
        account.kills[victim] += killed
        if killed and victim != "server":
            found, spared = _ended(folder), luck.random() < 0.8


def _kill_one(title: str, pids: set[int], luck: random.Random) -> bool:
    candidates = sorted(pid for pid in pids if title in _title(pid).split(" ")[0])
    if not candidates:
        return False
    try:
        os.kill(luck.choice(candidates), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _title_of(victim: str) -> str:
    return {"worker": "ray::", "raylet": "raylet/raylet"}[victim]


def _command(folder: Path, trials: int, at_once: int) -> Sequence[str]:
    (folder / "space.yaml").write_text(_SPACE)
    options = {
        "--space": "space.yaml",
        "--data": str(_pictures(folder)),
        "--teacher": "none",
        "--target": "rtx4090",
        "--steps": 2,
        "--trials": trials,
        "--concurrency": at_once,
        "--study": STUDY,
        "--storage": _storage(folder),
    }
    named = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-c", _NAS, "search", *named]


def _storage(folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db"


def _pictures(folder: Path) -> Path:
    """Prepare four small squares of photographs."""
    import skimage.data
    from PIL import Image

    from nas.data.prepare import prepare

    (folder / "hr").mkdir(parents=True)
    for index, photo in enumerate((skimage.data.astronaut(), skimage.data.coffee())):
        for side, crop in (("a", photo[:256, :256]), ("b", photo[-256:, -256:])):
            Image.fromarray(crop).save(folder / "hr" / f"{index}{side}.png")
    prepare(folder / "hr", folder / "set", qps=(31, 63), validation=0.3)
    return folder / "set"


def _ended(folder: Path) -> int:
    """How many trials have ended; reading never disturbs the search."""
    with suppress(sqlite3.Error):
        database = sqlite3.connect(f"file:{folder}/studies.db?mode=ro", uri=True, timeout=5)
        try:
            ended = "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
            return int(database.execute(ended).fetchone()[0])
        finally:
            database.close()
    return 0


def _all_runs(client, experiment, condition):  # noqa: ANN001, ANN202
    runs, token = [], None
    while True:
        page = client.search_runs([experiment], condition, page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            return runs


def _numbers() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _marked(mark: str) -> set[int]:
    wanted, found = f"{_MARK}={mark}".encode(), set()
    for pid in _numbers() - {os.getpid()}:
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _gone(pids: set[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(_title(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def main() -> None:
    """Run it from the command line; exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between kills")
    parser.add_argument("--kills", type=int, help="stop killing after so many; default never")
    parser.add_argument("--folder", type=Path, help="kept; default a temporary one")
    parser.add_argument("--json", type=Path, help="write the account there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-chaos-") as aside:
        folder = (options.folder or Path(aside)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        account = chaos(folder, options.trials, options.seed, options.every, kills=options.kills)
    print(account)
    if options.json:
        options.json.write_text(json.dumps(vars(account), indent=2))
    sys.exit(bool(account.wrong))


if __name__ == "__main__":
    main()
