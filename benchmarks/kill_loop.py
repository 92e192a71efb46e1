"""Random kills of the processes of a search, for `benchmarks.chaos`."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from benchmarks.processes import HOST, carrying, children, free_port, group, title

MARK = "NAS_CHAOS"
"""Environment variable of every process of a run."""

STUCK_S = 300.0
"""A command that ends no trial for this long, without a kill, hangs."""

# Relative frequency of each victim. The command restarts the driver. An agent is a helper of the
# raylet, which ends with it.
_VICTIMS = {"worker": 5, "command": 1, "driver": 2, "raylet": 1, "agent": 1, "server": 2}
_TITLES = {
    "worker": r"ray::(?!\w*Agent)",
    "raylet": r"\S*raylet/raylet ",
    "agent": r"ray::\w*Agent",
}
_SERVER_AWAY_S = 3.0  # on average
_WAITING = 0.8  # share of the kills that wait for a trial to end


class Server:
    """MLflow server with an SQLite store."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._port = free_port()
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_at = 0.0
        self.url = f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self._process is None:
            self._launch()
        deadline = time.monotonic() + 180
        while not self.answers():
            if time.monotonic() > deadline:
                raise TimeoutError("the MLflow server does not start")
            time.sleep(0.2)

    def kill(self, away_s: float) -> bool:
        """Kill all its processes; `restart_if_due` starts it again after ``away_s``."""
        if self._process is None:
            return False
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process, self._restart_at = None, time.monotonic() + away_s
        return True

    def restart_if_due(self) -> None:
        """Start the server again if it has been away long enough."""
        if self._process is None and time.monotonic() >= self._restart_at:
            self._launch()

    def answers(self) -> bool:
        """Whether the server responds."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def pids(self) -> set[int]:
        """Return its running processes."""
        return set() if self._process is None else group(self._process.pid)

    def _launch(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", HOST, "--port", str(self._port)]
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


class KillLoop:
    """Kills processes of a search at random moments.

    Most kills wait until a trial has ended since the last one, or the server answers: otherwise a
    slow machine would never get past the start of a worker or of the server.

    Attributes:
        kills: Number of kills by victim.

    Args:
        server: One of the victims.
        database: Database of the study, in which ended trials are counted.
        mark: Value of `MARK` in the environment of the other victims.
        seed: Seed of victims and waiting times.
        every_s: Mean seconds between kills.
        most: Maximum number of kills; None for no limit.
    """

    def __init__(
        self,
        server: Server,
        database: Path,
        mark: str,
        *,
        seed: int,
        every_s: float,
        most: int | None,
    ) -> None:
        self.kills: Counter[str] = Counter()
        self._server, self._database, self._mark = server, database, mark
        self._random = random.Random(seed)
        self._every_s, self._most = every_s, most

    def run(self, command: subprocess.Popen[bytes]) -> bool:
        """Kill processes while a command runs; return whether it hung and had to be ended."""
        ended, begun = self._ended(), time.monotonic()
        waiting = self._random.random() < _WAITING
        following = begun + self._random.expovariate(1 / self._every_s)
        while command.poll() is None:
            time.sleep(0.05)
            self._server.restart_if_due()
            now = time.monotonic()
            if now - max(begun, following) > STUCK_S and self._ended() == ended:
                command.kill()
                command.wait()
                return True
            if now < following or (self._most is not None and self.kills.total() >= self._most):
                continue
            victim = self._random.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
            following = now + self._random.expovariate(1 / self._every_s)
            if waiting and not (
                self._server.answers() if victim == "server" else self._ended() > ended
            ):
                continue
            killed = self._kill(victim, command)
            self.kills[victim] += killed
            if killed and victim != "server":
                ended, waiting = self._ended(), self._random.random() < _WAITING
        return False

    def _kill(self, victim: str, command: subprocess.Popen[bytes]) -> bool:
        if victim == "server":
            return self._server.kill(self._random.expovariate(1 / _SERVER_AWAY_S))
        if victim == "command":
            command.kill()
            return True
        number = signal.SIGKILL
        if victim == "driver":
            number = self._random.choice((signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL))
            candidates = sorted(children(command.pid))
        else:
            marked = carrying(MARK, self._mark)
            candidates = sorted(pid for pid in marked if re.match(_TITLES[victim], title(pid)))
        if not candidates:
            return False
        try:
            os.kill(self._random.choice(candidates), number)
        except ProcessLookupError:
            return False
        return True

    def _ended(self) -> int:
        """Count evaluated trials that have ended, without disturbing the search."""
        equal = "SELECT trial_id FROM trial_user_attributes WHERE key = 'duplicate_of'"
        query = (
            "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED') "
            f"AND trial_id NOT IN ({equal})"
        )
        with suppress(sqlite3.Error):
            read_only = f"file:{self._database}?mode=ro"
            with closing(sqlite3.connect(read_only, uri=True, timeout=5)) as database:
                return int(database.execute(query).fetchone()[0])
        return 0
