"""Real servers for tests: PostgreSQL, MLflow and Ray clusters, on loopback and free ports.

Each is a context manager with ``stop`` (in order), ``kill`` (as by the kernel) and ``start``
(again, on the same data and port), and leaves no process and no file behind, whatever happens in
the block. Where a machine lacks one of them, the test is skipped with the reason.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks.processes import HOST, carrying, free_port, title

_MARK = "NAS_TEST_SERVER"  # in the environment of everything that a server has started


@contextmanager
def postgres(password: str = "secret") -> Iterator[Postgres]:
    """Run a PostgreSQL server that asks the user ``nas`` for a password."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = [Path(program).resolve().parent for program in found if program]
    if not programs:
        pytest.skip("no PostgreSQL server here: initdb is not found")
    with _folder() as folder, ExitStack() as stack:
        server = Postgres(programs[-1], folder, password)
        stack.callback(server.kill)
        server.create()
        server.start()
        yield server


@contextmanager
def mlflow_server() -> Iterator[MLflow]:
    """Run an MLflow server with SQLite behind it; it keeps artifacts too."""
    with _folder() as folder, ExitStack() as stack:
        server = MLflow(folder)
        stack.callback(server.kill)
        server.start()
        yield server


@contextmanager
def ray_cluster() -> Iterator[Cluster]:
    """Have a Ray cluster without nodes yet: the first that is added is its head."""
    with _folder() as folder, ExitStack() as stack:
        cluster = Cluster(folder)
        stack.callback(cluster.kill)
        yield cluster


class _Server:
    """A program and all that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._mark = uuid4().hex

    def pids(self) -> set[int]:
        """The processes of it that live, also those whose parents do not."""
        return carrying(_MARK, self._mark)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End all its processes at once."""
        for _ in range(100):  # some may be starting others
            pids = self.pids()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
            if not pids:
                return
            time.sleep(0.02)
        raise TimeoutError(f"these do not end: {self.pids()}")

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.kill()

    def _run(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        within_s: float = 120.0,
    ) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {}), _MARK: self._mark},
                user=user,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + within_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)


class Postgres(_Server):
    """A PostgreSQL server; ``url`` holds the password."""

    def __init__(self, programs: Path, folder: Path, password: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.password = password
        self.url = f"postgresql://nas:{password}@{HOST}:{self.port}/postgres"
        self._programs = programs
        self._data = folder / "data"
        # It refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None

    def create(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self._user is not None:
            for path in (self.folder, secret):
                shutil.chown(path, self._user)
        subprocess.run(
            [
                *(self._programs / "initdb", "--pgdata", self._data, "--username", "nas"),
                *("--auth", "scram-sha-256", "--pwfile", secret, "--no-sync", "--locale", "C"),
                *("--encoding", "UTF8"),
            ],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self.folder,
        )

    def start(self) -> None:
        """Start it, or start it again on the same data and port."""
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 60,
        }
        command: list[str | Path] = [self._programs / "postgres", "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed
        self._run(command, self._answers, user=self._user)

    def stop(self) -> None:
        """End it in order, with all its connections."""
        self._end(signal.SIGINT)  # the "fast" way

    def database(self, name: str) -> str:
        """Make a database and return its URL."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url.removesuffix("postgres") + name

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


class MLflow(_Server):
    """An MLflow server; its database is the file ``database``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.database = folder / "server.db"

    def start(self) -> None:
        """Start it, or start it again on the same data and port."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.database}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._run(command, self._answers, quiet)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


class Cluster:
    """A Ray cluster whose nodes are processes of this machine.

    A client needs ``environment``, with the cluster's token, before Ray is imported: use
    its own process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        self.nodes: list[Node] = []

    def add(
        self,
        cpus: int = 1,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
        hidden: Path | None = None,
    ) -> Node:
        """Start one more node.

        Args:
            cpus: How many it says it has.
            resources: Custom ones.
            environment: On top of the test's own.
            hidden: A folder that looks empty to this node.
        """
        folder = self.folder / str(len(self.nodes))
        folder.mkdir()
        node = Node(self, folder, not self.nodes, cpus, resources or {}, environment or {}, hidden)
        self.nodes.append(node)
        node.start()
        return node

    def kill(self) -> None:
        """End all nodes at once, the head last."""
        for node in reversed(self.nodes):
            node.kill()


class Node(_Server):
    """One node of a Ray cluster: its raylet, its workers, and the head's own servers."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        head: bool,
        cpus: int,
        resources: Mapping[str, float],
        environment: Mapping[str, str],
        hidden: Path | None,
    ) -> None:
        super().__init__(folder)
        self._cluster, self._head, self._hidden = cluster, head, hidden
        self._cpus, self._resources, self._environment = cpus, resources, environment

    def start(self) -> None:
        """Start it, or start it again; a head that was ended has forgotten its cluster."""
        where = (
            ["--head", "--port", str(self._cluster.port), "--include-dashboard", "false"]
            if self._head
            else ["--address", self._cluster.address]
        )
        if self._head:
            where += ["--temp-dir", str(self._cluster.folder / "ray")]
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *(*where, "--node-ip-address", HOST, "--disable-usage-stats"),
            *("--num-cpus", str(self._cpus), "--num-gpus", "0"),
            *("--object-store-memory", str(80 * 2**20)),
            *("--resources", json.dumps({**self._resources, self.resource: 1})),
            # Any that is free: by default, two nodes on one machine use the same.
            *("--min-worker-port", "0", "--max-worker-port", "0"),
            *("--dashboard-agent-listen-port", str(free_port())),
        ]
        if self._hidden is not None:
            _require_unshare()
            script = f'mount -t tmpfs none "{self._hidden}" && exec "$@"'
            command = [*_UNSHARE, "sh", "-c", script, "-", *command]
        quiet = {"RAY_memory_monitor_refresh_ms": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        ours = {**quiet, **self._cluster.environment, **self._environment}
        self._run(command, self._joined, ours)

    @property
    def resource(self) -> str:
        """A resource that no other node has: ``ray.remote(resources={node.resource: 1})``."""
        return f"node-{self.folder.name}"

    def workers(self) -> set[int]:
        """Its worker processes that evaluate candidates now or wait for one."""
        return {pid for pid in self.pids() if title(pid).startswith("ray::")} - {
            pid for pid in self.pids() if "Agent" in title(pid)
        }

    def _joined(self) -> bool:
        # What `ray start --block` says once all its processes run.
        return "Ray runtime started" in self.log.read_text(errors="replace")


_UNSHARE = ["unshare", "--mount", "--propagation", "private"]


def _require_unshare() -> None:
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a folder cannot be hidden from a process here: unshare --mount is refused")


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's: Ray's sockets in it allow about 100 characters, PostgreSQL is another user.
    folder = Path(tempfile.mkdtemp(prefix="nas-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
