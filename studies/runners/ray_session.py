"""Ray itself: started on this machine or a running cluster, and the resources of a cluster.

Machines with the device that runtimes are measured on have a custom resource::

    ray start --address HEAD:6379 --resources '{"latency": 1}'
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

_SILENCE = {
    # Set before Ray is imported: no telemetry, no tables, no CSV files, no change of folder.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ctrl+C is ours: Tune's handler would wait for every running step.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
for _name, _value in _SILENCE.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray.exceptions import AuthenticationError, RayTaskError  # noqa: E402
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy  # noqa: E402

from nas.common.errors import InputError  # noqa: E402

if TYPE_CHECKING:
    from nas.measure.latency.measure import Latency
    from nas.measure.latency.target import Target
    from search_spaces.architecture import Architecture
    from search_spaces.networks.network import Network
    from studies.runners.base import WorkerSetup

LATENCY = "latency"
"""Resource of machines that measure; each measures one network at a time."""

EVALUATION = ("ray.tune", "studies.evaluation", "torch._dynamo")
"""Imports of an evaluation, which take seconds; torch imports the last in the first optimiser step.
"""

_LOST_S = (
    30.0  # a machine that measures may be absent for this long, for instance while it restarts
)

# Ray prints to stdout when a worker dies, despite its settings. Stdout is for results, and the
# outcome reports the death anyway.
vars(ray._private.worker)["print_to_stdstream"] = lambda data, ignore_prefix: None
# Two helpers of Ray take a second of CPU time each, beside the first candidate: one adds machines
# to a cluster, the other one sends logs to the driver.
vars(ray._private.node)["Node"].start_monitor = lambda self: None
vars(ray._private.node)["Node"].start_log_monitor = lambda self: None
# Ray shows a driver's command line, which may contain passwords, to everyone on the cluster.
vars(ray._private.utils)["get_entrypoint_name"] = lambda: "nas"


@dataclass(frozen=True, slots=True)
class Session:
    """Options for the start of Ray.

    Attributes:
        address: Address of a running Ray cluster; None starts Ray on this machine.
        cpus: Cores of this machine to use.
        needs_gpu: Whether workers use GPUs.
        preload: Modules that workers import at their start, during the setup of the search.
    """

    address: str | None = None
    cpus: int = 1
    needs_gpu: bool = False
    preload: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """Resources of a cluster.

    Attributes:
        cpus: Cores for training.
        gpus: GPUs.
        measures: Whether a machine has the `LATENCY` resource.
    """

    cpus: int
    gpus: int
    measures: bool

    def target(self, name: str) -> Target:
        """Resolve a target by name, on a machine that measures, if any.

        Raises:
            InputError: There is no such target there.
        """
        from nas.measure.latency.predict import RESERVED
        from nas.measure.latency.target import resolve_target

        if not self.measures or name not in RESERVED:
            return resolve_target(name)
        found: Target = _where_measured(resolve_target, name)
        return found


def cluster_resources(session: Session) -> ClusterResources:
    """Query the resources of a session's cluster."""
    with running(session):
        found = ray.cluster_resources()
        return ClusterResources(int(found.get("CPU", 0)), int(found.get("GPU", 0)), _measures())


@dataclass(frozen=True, slots=True)
class RemoteLatency:
    """Measures runtimes for a worker, on machines with the `LATENCY` resource.

    Attributes:
        setup: Provides the user's plugins there.
    """

    setup: WorkerSetup

    def __call__(self, target: Target, network: Network) -> Latency:
        """Wait for a free machine, and measure there."""
        latency: Latency = _where_measured(_latency, target, network.architecture, self.setup)
        return latency


def _latency(target: Target, architecture: Architecture, setup: WorkerSetup) -> Latency:
    from search_spaces.plugins import load_all

    load_all(setup.plugin_files())
    return target.latency(architecture)


def _where_measured(function: Any, *arguments: Any) -> Any:
    task = ray.remote(function).options(
        num_cpus=0,
        resources={LATENCY: 1},
        # Otherwise it would run within the resources that Tune reserved for the calling worker.
        scheduling_strategy=PlacementGroupSchedulingStrategy(None),  # type: ignore[arg-type]
        # Without a share of a GPU, Ray would hide all of them.
        runtime_env={"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}},
    )
    waiting = task.remote(*arguments)
    try:
        while not ray.wait([waiting], timeout=_LOST_S)[0]:
            if not _measures() and not ray.wait([waiting], timeout=_LOST_S)[0] and not _measures():
                raise InputError(
                    "No machine of the Ray cluster measures runtimes any more: "
                    "start one with --resources '{\"latency\": 1}', and the search again."
                )
        return ray.get(waiting)
    except RayTaskError as error:
        raise error.cause from error
    except BaseException:  # for instance the time limit of this candidate
        # Do not cancel a task that has ended: Ray may still be completing it, and then aborts this
        # process ("Check failed: it != submissible_tasks_.end()").
        if not ray.wait([waiting], timeout=0)[0]:
            ray.cancel(waiting)
        raise


def _measures() -> bool:
    return bool(ray.cluster_resources().get(LATENCY, 0) >= 1)


@contextmanager
def ray_session(session: Session) -> Iterator[None]:
    """Start Ray in a thread, concurrently with the block, and stop it after the block.

    Ray takes seconds to start, most of them waiting for its own processes.
    """
    ended = threading.Event()

    def hold() -> None:
        # One thread for all of it: Linux kills Ray's processes with the thread that started them.
        with suppress(Exception), running(session):  # `RayRunner.run` reports errors
            ended.wait()

    thread = threading.Thread(target=hold, name="ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


_START = threading.Lock()


@contextmanager
def running(session: Session) -> Iterator[None]:
    """Use a running Ray: of the caller if there is one, else a cluster, else a new one."""
    with ExitStack() as stack:
        with _START:  # a second caller waits for the start
            if not ray.is_initialized():
                with _sigterm_restored():
                    stack.enter_context(_started(session))
        yield


def has_died() -> bool:
    """Whether a process of the Ray that was started here has died; waiting for it never ends.

    A cluster reports the death of its processes.
    """
    node = ray._private.worker._global_node
    started: dict[str, Any] = {} if node is None else node.all_processes
    vital = [info for kind in ("raylet", "gcs_server") for info in started.get(kind, ())]
    return any(info.process.poll() is not None for info in vital)


@contextmanager
def _sigterm_restored() -> Iterator[None]:
    """Restore this process's SIGTERM handler, which Ray replaces by one that prints a stack trace.

    Through the C library, because Python changes handlers in the main thread only.
    """
    library, action = ctypes.CDLL(None), ctypes.create_string_buffer(512)  # larger than any
    handler = signal.getsignal(signal.SIGTERM)
    library.sigaction(signal.SIGTERM, None, action)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        library.sigaction(signal.SIGTERM, action, None)


@contextmanager
def _started(session: Session) -> Iterator[None]:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" and session.needs_gpu:
        raise InputError("CUDA_VISIBLE_DEVICES is empty, so no GPU can be used: unset it.")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune's stack trace of a dead worker adds nothing to the outcome.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if session.address is not None:
        try:
            ray.init(address=session.address, **common)
        except (AuthenticationError, ConnectionError, ValueError, RuntimeError) as error:
            if "AuthenticationError" in f"{error!r} {error.__cause__ or error.__context__}":
                raise InputError(
                    f"--ray-address {session.address}: that Ray cluster asks for its token; set "
                    "RAY_AUTH_MODE=token, and have its ~/.ray/auth_token on this machine too."
                ) from error
            raise InputError(
                f"--ray-address {session.address}: no Ray cluster answers there; start one with "
                "'ray start --head' or leave the option out."
            ) from error
        try:
            yield
        finally:
            ray.shutdown()
        return
    with scratch("ray") as folder:
        try:
            ray.init(
                address="local",
                num_cpus=max(session.cpus, 1),
                include_dashboard=False,
                object_store_memory=128 * 2**20,
                _system_config={"preload_python_modules": list(session.preload)},
                _temp_dir=str(folder),
                **common,
            )
            yield
        finally:
            ray.shutdown()


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Create a temporary folder for the block, and remove those of killed processes.

    In ``/tmp``, not in the cache: paths of sockets are limited to about 100 characters.
    """
    root = Path("/tmp")
    for left in root.glob("nas-*-*-*"):
        owner = re.fullmatch(r"nas-(?:ray|tune)-(\d+)-\w+", left.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"nas-{kind}-{os.getpid()}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
