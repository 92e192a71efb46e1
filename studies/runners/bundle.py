"""What candidates are trained by, for machines that do not see the driver's files.

A worker takes the prepared set and the teacher by their paths where those hold what the driver has
there. RemoteLatency it takes them from one file that the driver packed: nothing but the patches and
held-out windows that candidates see, so that it stays small however large the set is. The file is
named by its hash, lies in the machine's cache, and is checked by every worker that needs it.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nas.common.errors import InputError
from nas.common.files import cache_root, lock_file, unwritable, write_atomic
from nas.data.manifest import sha256_of
from nas.data.store import PairSet, open_set
from nas.training.data.patches import PatchBank
from nas.training.proxy.proxy import ProxyData, proxy_data
from studies.core.identity import version_of
from teachers.loading import Teacher, load_teacher

_PACKAGE = "nas-workbench"


@dataclass(frozen=True, slots=True)
class HeldOutWindow:
    """A held-out window in memory.

    Attributes:
        large: The original, uint8 (4H, 4W, 3).
        small: The compressed LR images by QP, uint8 (H, W, 3).
    """

    large: np.ndarray
    small: dict[int | None, np.ndarray]

    def hr(self) -> np.ndarray:
        """Return the original."""
        return self.large

    def lr(self, qp: int | None) -> np.ndarray:
        """Return the LR image at a QP."""
        return self.small[qp]


@dataclass(frozen=True, slots=True)
class WorkerBundle:
    """What a worker needs to find or receive the driver's data.

    Attributes:
        data: Folder of the dataset on the driver.
        data_digest: Digest of its manifest.
        teacher: Name or path; None without.
        teacher_digest: Digest of its content.
        sha256: Hash of the packed file.
        plugins: Path and source of each plugin file.
        version: Version of this package on the driver.
    """

    data: Path
    data_digest: str
    teacher: str | None
    teacher_digest: str | None
    sha256: str
    plugins: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    version: str | None = None

    @property
    def file(self) -> Path:
        """Path of the packed file on this machine."""
        return cache_root() / "bundle" / f"{self.sha256}.safetensors"

    def ensure_local(self, fetch: Callable[[], np.ndarray]) -> None:
        """Fetch the packed file to this machine if it is needed; workers call it first.

        Args:
            fetch: Returns the bytes of the packed file; called by one process of a machine.

        Raises:
            InputError: This machine has another version of the package, the cache cannot be
                written, or the file does not match its hash.
        """
        self._require_same_version()
        if self._paths_match():
            return
        try:
            with _exclusive(self.file):
                if not _is_whole(self.file, self.sha256):
                    write_atomic(self.file, fetch().tobytes())
        except OSError as fault:
            raise unwritable(fault, machine=socket.gethostname()) from fault
        if not _is_whole(self.file, self.sha256):
            raise InputError(f"{self.file} on {socket.gethostname()} is corrupt: check that disk.")

    def load(self, device: str) -> ProxyData:
        """Load the training data, from the driver's paths or from the packed file.

        Raises:
            InputError: It is in neither.
        """
        if self._paths_match():
            teacher = None if self.teacher is None else load_teacher(self.teacher)
            return proxy_data(open_set(self.data), teacher, device)
        return _unpacked(self.file, device)

    def plugin_files(self) -> tuple[str, ...]:
        """Paths of the plugins on this machine; missing ones are written to the cache."""
        found = []
        for name, source in self.plugins:
            content, path = source.encode(), Path(name)
            if not _holds(path, content):
                digest = hashlib.sha256(content).hexdigest()[:16]
                path = cache_root() / "plugins" / digest / path.name
                if not _holds(path, content):
                    write_atomic(path, content)
            found.append(str(path))
        return tuple(found)

    def _paths_match(self) -> bool:
        return _same(self.data, self.data_digest, self.teacher, self.teacher_digest)

    def _require_same_version(self) -> None:
        here = version_of(_PACKAGE)
        if here != self.version:
            raise InputError(
                f"{socket.gethostname()} has {_PACKAGE} {here}, the search runs {self.version}: "
                "install the same on every machine of the cluster."
            )


def pack(data: ProxyData) -> str:
    """Write training data to one file in the cache, and return its SHA-256.

    Raises:
        InputError: The cache cannot be written.
    """
    bank = data.bank.to("cpu")
    tensors = {"lr": bank.lr, "hr": bank.hr}
    if bank.teacher is not None:
        tensors["teacher"] = bank.teacher
    for number, window in enumerate(data.validation):
        tensors[f"held/{number}/hr"] = _tensor(window.hr())
        tensors |= {f"held/{number}/{qp}": _tensor(window.lr(qp)) for qp in data.qps}
    layout = {"qps": json.dumps(data.qps), "held": str(len(data.validation))}
    content = save({name: t.contiguous() for name, t in tensors.items()}, layout)
    sha256 = hashlib.sha256(content).hexdigest()
    file = cache_root() / "bundle" / f"{sha256}.safetensors"
    if not _is_whole(file, sha256):
        try:
            write_atomic(file, content)
        except OSError as fault:
            raise unwritable(fault) from fault
    return sha256


def make_bundle(
    data: ProxyData,
    pair_set: PairSet,
    teacher_source: str | None,
    teacher: Teacher | None,
    plugins: tuple[str, ...],
) -> WorkerBundle:
    """Pack the training data of a study, and describe it to workers on other machines.

    Args:
        data: As `proxy_data` loads it from the other two.
        pair_set: The dataset.
        teacher_source: Name or path of the teacher.
        teacher: The teacher.
        plugins: The user's plugin files.

    Raises:
        InputError: The cache cannot be written.
    """
    return WorkerBundle(
        data=pair_set.path.absolute(),
        data_digest=pair_set.digest,
        teacher=teacher_source,
        teacher_digest=None if teacher is None else teacher.digest,
        sha256=pack(data),
        plugins=tuple((path, Path(path).read_text(encoding="utf-8")) for path in plugins),
        version=version_of(_PACKAGE),
    )


def _unpacked(file: Path, device: str) -> ProxyData:
    try:
        with safe_open(file, framework="pt") as packed:
            layout = packed.metadata()
            names = set(packed.keys())
            qps = tuple(json.loads(layout["qps"]))
            bank = PatchBank(
                packed.get_tensor("lr"),
                packed.get_tensor("hr"),
                packed.get_tensor("teacher") if "teacher" in names else None,
            )
            held = tuple(
                HeldOutWindow(
                    packed.get_tensor(f"held/{number}/hr").numpy(),
                    {qp: packed.get_tensor(f"held/{number}/{qp}").numpy() for qp in qps},
                )
                for number in range(int(layout["held"]))
            )
    except (OSError, SafetensorError) as fault:
        raise InputError(f"{file} cannot be read ({fault}): start the search again.") from fault
    return ProxyData(bank.to(device), held, qps, device)


@lru_cache(maxsize=4)
def _same(data: Path, digest: str, teacher: str | None, teacher_digest: str | None) -> bool:
    """Whether the driver's paths hold the same data on this machine."""
    try:
        if open_set(data).digest != digest:
            return False
        return teacher is None or load_teacher(teacher).digest == teacher_digest
    except (InputError, OSError):
        return False


def _is_whole(file: Path, sha256: str) -> bool:
    try:
        return sha256_of(file) == sha256
    except OSError:
        return False


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Exclude other workers of this machine from a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (file.parent / ".lock").open("ab") as lock:
        lock_file(lock)  # without locks the same is written twice
        yield


def _tensor(pixels: object) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels))  # a copy: maps are read-only
