"""Ray itself: started on this machine, or a running cluster's; and what a cluster has.

Machines that carry the device that runtimes are measured on say so by a resource of their own::

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
    from studies.runners.base import Supply

LATENCY = "latency"
"""The resource of machines that measure; each measures one network at a time."""

EVALUATION = ("ray.tune", "studies.evaluation", "torch._dynamo")
"""What evaluating a candidate imports, which takes seconds; torch imports the last one in the first
step of an optimiser."""

_LOST_S = 30.0  # a machine that measures may be away for as long: it is being started again, say

# Ray prints to stdout when a worker dies, whatever its settings say. There, results are expected;
# and the outcome that comes of it is told anyway.
vars(ray._private.worker)["print_to_stdstream"] = lambda data, ignore_prefix: None
# Two helpers of the Ray that is started here take a second of the processor each, beside the first
# candidate: one adds machines to a cluster, the other one brings logs to a driver that wants none.
vars(ray._private.node)["Node"].start_monitor = lambda self: None
vars(ray._private.node)["Node"].start_log_monitor = lambda self: None
# Ray shows a driver's whole command line to everyone on the cluster; there may be passwords in it.
vars(ray._private.utils)["get_entrypoint_name"] = lambda: "nas"


@dataclass(frozen=True, slots=True)
class Session:
    """What Ray is started for.

    Attributes:
        address: Of a running Ray cluster; None starts Ray on this machine and ends it afterwards.
        cpus: Cores that may be used of this machine.
        needs_gpu: Whether GPUs will be asked for.
        preload: Modules that workers import as soon as Ray starts them, while the search prepares.
    """

    address: str | None = None
    cpus: int = 1
    needs_gpu: bool = False
    preload: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facilities:
    """What a cluster has.

    Attributes:
        cpus: Cores that candidates may be trained on.
        gpus: GPUs.
        measures: Whether some machine is there for measuring runtimes.
    """

    cpus: int
    gpus: int
    measures: bool

    def target(self, name: str) -> Target:
        """Return the target of a name, as `resolve_target`: on a machine that measures, if any.

        Raises:
            InputError: There is no such target there.
        """
        from nas.measure.latency.predict import RESERVED
        from nas.measure.latency.target import resolve_target

        if not self.measures or name not in RESERVED:
            return resolve_target(name)
        found: Target = _where_measured(resolve_target, name)
        return found


def facilities(session: Session) -> Facilities:
    """Ask a session's cluster what it has."""
    with running(session):
        found = ray.cluster_resources()
        return Facilities(int(found.get("CPU", 0)), int(found.get("GPU", 0)), _measures())


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Measures runtimes from within a worker, on machines that are there for it.

    Attributes:
        supply: Brings the user's blocks there.
    """

    supply: Supply

    def __call__(self, target: Target, network: Network) -> Latency:
        """Wait for a machine that is free, and measure there."""
        latency: Latency = _where_measured(_latency, target, network.architecture, self.supply)
        return latency


def _latency(target: Target, architecture: Architecture, supply: Supply) -> Latency:
    from search_spaces.plugins import load_all

    load_all(supply.plugin_files())
    return target.latency(architecture)


def _where_measured(function: Any, *arguments: Any) -> Any:
    task = ray.remote(function).options(
        num_cpus=0,
        resources={LATENCY: 1},
        # Tune would have it run in what it has reserved for the worker that asks.
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
    except BaseException:  # this candidate's time is up, say
        # Never one that has ended: Ray may still be completing it, and its core then ends this
        # process ("Check failed: it != submissible_tasks_.end()").
        if not ray.wait([waiting], timeout=0)[0]:
            ray.cancel(waiting)
        raise


def _measures() -> bool:
    return bool(ray.cluster_resources().get(LATENCY, 0) >= 1)


@contextmanager
def starting(session: Session) -> Iterator[None]:
    """Start Ray beside the block, which it does not need yet, and end it after the block.

    Ray takes seconds to start, and spends them waiting for processes of its own.
    """
    ended = threading.Event()

    def hold() -> None:
        # The same thread to the end: Linux kills Ray's processes with the thread that made them.
        with suppress(Exception), running(session):  # `run` meets what is wrong, and tells it
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
    """Have Ray running: the caller's if there is one, else a cluster's, else our own."""
    with ExitStack() as stack:
        with _START:  # so that who finds it starting waits
            if not ray.is_initialized():
                with _terminated_as_before():
                    stack.enter_context(_started(session))
        yield


def has_died() -> bool:
    """Whether a process of the Ray that was started here is gone: who waits for it waits for ever.

    Of a cluster's processes nothing is known here; its driver is told of their end.
    """
    node = ray._private.worker._global_node
    started: dict[str, Any] = {} if node is None else node.all_processes
    vital = [info for kind in ("raylet", "gcs_server") for info in started.get(kind, ())]
    return any(info.process.poll() is not None for info in vital)


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """Keep what this process does on SIGTERM: Ray replaces it, by a stack trace of its own.

    Of the C library, because Python changes handlers in the main thread only.
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
    # Tune's stack trace of a dead worker tells no more than the outcome that comes of it.
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
    """A folder for the time of the block; those of processes that were killed go as well.

    It is in ``/tmp``, not in the cache: sockets in it allow paths of about 100 characters.
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
