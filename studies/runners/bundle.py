"""What candidates are trained by, for machines that do not see the driver's files.

A worker takes the prepared set and the teacher by their paths where those hold what the driver has
there. Elsewhere it takes them from one file that the driver packed: nothing but the patches and
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
from nas.common.files import cache_root, unwritable, write_atomic
from nas.common.locks import lock_file
from nas.data.manifest import sha256_of
from nas.data.store import open_set
from nas.training.data.patches import PatchBank
from nas.training.proxy.proxy import ProxyData, proxy_data
from studies.core.identity import version_of
from teachers.loading import load_teacher

_PACKAGE = "nas-workbench"


@dataclass(frozen=True, slots=True)
class Held:
    """A held-out window, whole in memory.

    Attributes:
        large: The original, uint8 (4H, 4W, 3).
        small: By QP, uint8 (H, W, 3).
    """

    large: np.ndarray
    small: dict[int | None, np.ndarray]

    def hr(self) -> np.ndarray:
        """Return the original."""
        return self.large

    def lr(self, qp: int | None) -> np.ndarray:
        """Return the small picture at a QP."""
        return self.small[qp]


@dataclass(frozen=True, slots=True)
class Material:
    """What a driver has, so that workers elsewhere can find the same or be sent it.

    Attributes:
        data: Folder of the prepared set, on the driver.
        data_digest: Of its manifest.
        teacher: Name or path; None without.
        teacher_digest: Of its content.
        sha256: Of the packed file.
        plugins: Path and source of each plugin file.
        version: Of this package.
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
        """Where the packed file lies on the machine that asks."""
        return cache_root() / "material" / f"{self.sha256}.safetensors"

    def receive(self, fetch: Callable[[], np.ndarray]) -> None:
        """See to it that this machine has all that is needed; for workers, before anything else.

        Args:
            fetch: Returns the bytes of the packed file; called by one process of a machine, and
                only where it is needed.

        Raises:
            InputError: This machine has another version of the package, the cache cannot be
                written, or what came is not what was sent.
        """
        self._require_same_version()
        if self._is_seen():
            return
        try:
            with _alone(self.file):
                if not _is_whole(self.file, self.sha256):
                    write_atomic(self.file, fetch().tobytes())
        except OSError as fault:
            raise unwritable(fault, machine=socket.gethostname()) from fault
        if not _is_whole(self.file, self.sha256):
            raise InputError(
                f"{self.file} on {socket.gethostname()} is not what was sent: check that disk."
            )

    def load(self, device: str) -> ProxyData:
        """Load what candidates are trained by: the driver's files where they are seen, else packed.

        Raises:
            InputError: It is in neither place.
        """
        if self._is_seen():
            teacher = None if self.teacher is None else load_teacher(self.teacher)
            return proxy_data(open_set(self.data), teacher, device)
        return _unpacked(self.file, device)

    def plugin_files(self) -> tuple[str, ...]:
        """Paths of the plugins on this machine; those that are not seen here are written first."""
        found = []
        for name, source in self.plugins:
            content, path = source.encode(), Path(name)
            if not _holds(path, content):
                place = hashlib.sha256(content).hexdigest()[:16]
                path = cache_root() / "plugins" / place / path.name
                if not _holds(path, content):
                    write_atomic(path, content)
            found.append(str(path))
        return tuple(found)

    def _is_seen(self) -> bool:
        return _same(self.data, self.data_digest, self.teacher, self.teacher_digest)

    def _require_same_version(self) -> None:
        here = version_of(_PACKAGE)
        if here != self.version:
            raise InputError(
                f"{socket.gethostname()} has {_PACKAGE} {here}, the search runs {self.version}: "
                "install the same on every machine of the cluster."
            )


def pack(data: ProxyData) -> str:
    """Write what candidates are trained by into one file in the cache, and return its SHA-256.

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
    file = cache_root() / "material" / f"{sha256}.safetensors"
    if not _is_whole(file, sha256):
        try:
            write_atomic(file, content)
        except OSError as fault:
            raise unwritable(fault) from fault
    return sha256


def material_of(data: Path, teacher: str | None, plugins: tuple[str, ...]) -> Material:
    """Pack what a study is trained by, and describe it to workers elsewhere.

    Raises:
        InputError: Some of it is gone, or the cache cannot be written.
    """
    pair_set = open_set(data)
    taught = None if teacher is None else load_teacher(teacher)
    return Material(
        data=data,
        data_digest=pair_set.digest,
        teacher=teacher,
        teacher_digest=None if taught is None else taught.digest,
        sha256=pack(proxy_data(pair_set, taught)),
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
                Held(
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
    """Whether the driver's paths hold the same here, looked up once in a process."""
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
def _alone(file: Path) -> Iterator[None]:
    """Hold a file against this machine's other workers, which wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (file.parent / ".lock").open("ab") as lock:
        lock_file(lock)  # without locks the same is written twice
        yield


def _tensor(pixels: object) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels))  # a copy: maps are read-only
