"""Everything that needs a GPU, in one command that ends within 8 minutes.

    python -m benchmarks.gpu [--minutes 8] [--out benchmarks/results]

Parts run one after another in processes of their own, the most valuable first; each has a limit,
and one that fails or runs out of time leaves the rest to run. What they printed and wrote until
then goes to ``gpu-DEVICE.md`` and ``gpu-DEVICE.json``, written anew after each part. ``--cpu``
rehearses the whole path with tiny sizes where there is no GPU; its figures mean nothing, and need
``--out``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from nas.common.files import write_atomic
from nas.measure.latency.backends import backends
from nas.measure.latency.measure import versions

ROOT = Path(__file__).parents[1]
LAST_LINES = 12  # of the errors of a part that failed
_STARTING_S = 25.0  # that a part takes for imports and for what comes after measuring
_ENDING_S = 5.0  # that a part has between being asked to end and being killed


@dataclass(frozen=True)
class Part:
    """One part: a module with its arguments, and the seconds that it may take."""

    name: str
    arguments: str
    """``{seconds}`` in them is the time that the part has for itself."""
    seconds: float
    writes_rows: bool = True


@dataclass(frozen=True)
class Result:
    """What became of a part."""

    name: str
    command: str
    outcome: str
    """``done``, or why not."""
    seconds: float
    printed: str
    errors: str
    rows: Any
    """What the part wrote by ``--json``; None when it did not come to that."""


_BACKENDS = f"--processes 1 --networks RepTCN --backends {','.join(backends)}"
_PYTEST = "pytest -vv -n 0 -p no:cacheprovider -m gpu"

GPU_PARTS = (
    Part("tests", f"{_PYTEST} tests", 85, writes_rows=False),
    Part("train_step", "benchmarks.train_step --seconds 1", 75),
    Part("candidates", "benchmarks.candidates --at-once 1,4,8 --steps 300 --seconds 4", 75),
    Part("survey", "benchmarks.survey", 40),
    Part("latency", "benchmarks.latency --seconds {seconds:.0f}", 60),
    Part("deploy_tail", "benchmarks.deploy_tail", 50),
    Part("backends", f"benchmarks.latency {_BACKENDS}", 55),
    Part("fit", "benchmarks.fit --networks 240 --seconds {seconds:.0f}", 180),
)
"""In order of worth, but that the last takes what time is left: more networks, a better fit."""

CPU_PARTS = (
    Part("tests", f"{_PYTEST} tests/test_measure_backends.py", 120, writes_rows=False),
    Part(
        "train_step",
        "benchmarks.train_step --seconds 0 --networks RepTCN --batches 1 --workers 1",
        120,
    ),
    Part(
        "candidates",
        "benchmarks.candidates --seconds 0 --at-once 1 --steps 2 --networks RepTCN",
        120,
    ),
    Part(
        "latency",
        "benchmarks.latency --processes 2 --networks RepTCN --limit 0.1 --size 24x40",
        120,
    ),
    Part("backends", f"benchmarks.latency {_BACKENDS} --limit 0.1 --size 24x40", 120),
    Part("deploy_tail", "benchmarks.deploy_tail --networks RepTCN --size 24x40", 120),
    Part("survey", "benchmarks.survey --networks RepTCN --limit 0.1 --size 24x40", 120),
    Part(
        "fit", "benchmarks.fit --networks 12 --limit 0.1 --size 24x40 --seconds {seconds:.0f}", 120
    ),
)
"""The same path in little."""


def main() -> int:
    """Run all parts; 0 when all are done, 1 when some are not, 2 without a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together")
    parser.add_argument("--only", help="names of parts, by commas")
    parser.add_argument("--cpu", action="store_true", help="rehearse with tiny sizes, no GPU")
    parser.add_argument("--out", type=Path, help="folder of the results")
    options = parser.parse_args()
    if not options.cpu and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here; --cpu rehearses without one.", file=sys.stderr)
        return 2
    if options.cpu and options.out is None:
        parser.error("a rehearsal's figures mean nothing: give --out, a folder to throw away")
    parts = chosen(CPU_PARTS if options.cpu else GPU_PARTS, options.only, parser)
    folder = options.out or ROOT / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    about = machine("cpu" if options.cpu else "cuda")
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    ends = time.monotonic() + 60 * options.minutes
    results: list[Result] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the part at work ends too
    try:
        for part in parts:
            print(f"{part.name} ...", end=" ", flush=True)
            results.append(run(part, ends, hide_gpu=options.cpu))
            print(f"{results[-1].outcome} ({results[-1].seconds:.0f} s)", flush=True)
            if results[-1].outcome != "done" and results[-1].errors:
                print(results[-1].errors, file=sys.stderr, flush=True)
            keep(folder, about, results, rehearsal=options.cpu)
    except KeyboardInterrupt:
        print("stopped; what was found so far is kept", file=sys.stderr)
        return 130
    return 0 if all(result.outcome == "done" for result in results) else 1


def chosen(
    parts: Sequence[Part], only: str | None, parser: argparse.ArgumentParser
) -> Sequence[Part]:
    """The parts that were asked for, in their order."""
    names = [part.name for part in parts]
    wanted = names if only is None else only.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose of {', '.join(names)}")
    return [part for part in parts if part.name in wanted]


def machine(device: str) -> dict[str, str]:
    """Device, driver and versions."""
    about = {name: str(value) for name, value in versions(device).items()}
    if device == "cuda":
        about |= {"triton": _version("triton"), "driver": _driver()}
    return about | {"python": sys.version.split()[0], "cores": str(os.cpu_count())}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (told.stdout.splitlines() or ["unknown"])[0]


def run(part: Part, ends: float, *, hide_gpu: bool) -> Result:
    """Run one part in its limit, and before everything has to end."""
    seconds = min(part.seconds, ends - time.monotonic() - _ENDING_S)
    arguments = part.arguments.format(seconds=seconds - _STARTING_S)
    shown = f"python -m {arguments}"
    if seconds <= _STARTING_S:
        return Result(part.name, shown, "not begun: no time was left", 0.0, "", "", None)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} if hide_gpu else {}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        out, err, rows = (Path(folder, name) for name in ("out", "err", "rows.json"))
        extra = ("--json", str(rows)) if part.writes_rows else ()
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                (sys.executable, "-m", *arguments.split(), *extra),
                cwd=ROOT,
                env=environment,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
                outcome = "done" if code == 0 else f"failed with exit code {code}"
            except subprocess.TimeoutExpired:
                outcome = f"stopped after {seconds:.0f} s"
            finally:
                _end(process)
        last = err.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return Result(
            name=part.name,
            command=shown,
            outcome=outcome,
            seconds=time.monotonic() - begun,
            printed=out.read_text(errors="replace"),
            errors="\n".join(last),
            rows=_rows(rows),
        )


def _rows(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # it did not come to that, or was stopped while writing
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part with all processes that it started: the next one needs the GPU for itself.

    Interrupted, tests still tell what has failed so far. Nobody waits for a process that not even a
    kill ends, because its driver hangs.
    """
    for how in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, how)
            process.wait(_ENDING_S)


def keep(
    folder: Path, about: dict[str, str], results: Sequence[Result], *, rehearsal: bool
) -> None:
    """Write what is known so far as Markdown and JSON."""
    device = re.sub(r"[^a-z0-9]+", "-", about["device"].lower()).strip("-")
    name = f"gpu-{'rehearsal-' if rehearsal else ''}{device}"
    at = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    found = {"at": at, "machine": about, "parts": [asdict(result) for result in results]}
    write_atomic(folder / f"{name}.json", (json.dumps(found, indent=1) + "\n").encode())
    write_atomic(folder / f"{name}.md", page(about, at, results, rehearsal).encode())


def page(about: dict[str, str], at: str, results: Sequence[Result], rehearsal: bool) -> str:
    """Everything to read."""
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    lines = [f"# {about['device']}", "", f"{at}, `python -m benchmarks.gpu`: {facts}.", ""]
    if rehearsal:
        lines += ["**A rehearsal with tiny sizes on a CPU: these figures mean nothing.**", ""]
    lines += ["| part | outcome | seconds |", "|---|---|---:|"]
    lines += [f"| {r.name} | {r.outcome} | {r.seconds:.0f} |" for r in results]
    for result in results:
        lines += ["", f"## {result.name}", "", f"`{result.command}`: {result.outcome}"]
        if result.printed.strip():
            lines += ["", "```", result.printed.strip(), "```"]
        if result.outcome != "done" and result.errors:
            lines += ["", "Last lines of its errors:", "", "```", result.errors, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
