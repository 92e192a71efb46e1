"""The identity of a study: stored at its creation, and compared when it is continued."""

from __future__ import annotations

import platform
import subprocess
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning

from nas.common.errors import InputError
from studies.core.budget import Budget
from studies.core.info import StudySettings

_PACKAGES = ("nas-workbench", "torch", "numpy", "pillow", "optuna", "ray", "mlflow")


def provenance() -> dict[str, Any]:
    """Return the versions that matter to a result, the commit, the machine and the time."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := version_of(name))},
        "git": _commit(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def version_of(name: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the source tree that this package runs from, if any."""
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def check_identity(raw: optuna.Study, settings: StudySettings) -> None:
    """Compare a study's identity with the settings, or store it, and add this run to its runs.

    Raises:
        InputError: The study has another identity, or was not made by this tool.
    """
    wanted, recorded = settings.fixed, raw.user_attrs.get("identity")
    if recorded is None:
        if raw.get_trials(deepcopy=False):
            raise InputError(
                f"The study {settings.name!r} was not made by this tool: "
                "give another --study or --storage."
            )
        raw.set_user_attr("identity", wanted)
    elif recorded != wanted:
        raise InputError(_difference(settings.name, recorded, wanted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        raw.set_metric_names(["gain_db", "log_runtime_ms"])
    run = {
        **provenance(),
        "sources": dict(settings.sources),
        "teacher_gain_db": settings.teacher_gain_db,
    }
    raw.set_user_attr("runs", [*raw.user_attrs.get("runs", []), run])


def _shown(key: str, value: Any) -> Any:
    """Format a setting, limits with their units."""
    return str(Budget.from_dict(value)) if key == "budget" and value is not None else value


def _difference(name: str, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Describe the first setting in which a study differs from what is asked for now."""
    key = next(k for k in [*recorded, *wanted] if recorded.get(k) != wanted.get(k))
    old, new = (_shown(key, side.get(key)) for side in (recorded, wanted))
    short = all(len(str(value)) < 60 for value in (old, new))
    how = f" ({old} there, {new} now)" if short else ""
    return (
        f"The study {name!r} was made with another {key}{how}, so that its results cannot be "
        "compared with new ones: use that one again, or give another --study."
    )
