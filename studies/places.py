"""Where a study and MLflow's view of it lie, as commands name them: ready to paste."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from studies.storage import DEFAULT_STORAGE, DEFAULT_TRACKING, MASK, masked

FIRST = f"First, with the secret in place of {MASK}:"
"""What to say before `Places.exports`."""


@dataclass(frozen=True, slots=True)
class Places:
    """The options and environment that commands need to find a study again.

    An URL with a password is not shown: the commands then name the environment variable that
    holds it, and `exports` sets it.

    Attributes:
        storage: The study's database URL.
        tracking_uri: MLflow's.
    """

    storage: str = DEFAULT_STORAGE
    tracking_uri: str = DEFAULT_TRACKING

    @property
    def of_study(self) -> str:
        """What a command on the study ends with: nothing where it lies in the default place."""
        return _option("--storage", "NAS_STORAGE", self.storage, DEFAULT_STORAGE)

    @property
    def of_models(self) -> str:
        """What a command on MLflow's models ends with: nothing for the default store."""
        return _option("--tracking-uri", "MLFLOW_TRACKING_URI", self.tracking_uri, DEFAULT_TRACKING)

    @property
    def for_mlflow(self) -> str:
        """What MLflow's own commands begin with."""
        if _is_secret(self.tracking_uri):
            return ""  # it is in the environment
        return f"MLFLOW_TRACKING_URI={shlex.quote(self.tracking_uri)} "

    def exports(self, *commands: str) -> tuple[str, ...]:
        """Return the settings that these commands want first, with `MASK` for each secret."""
        variables = {"NAS_STORAGE": self.storage, "MLFLOW_TRACKING_URI": self.tracking_uri}
        return tuple(
            f"export {name}={shlex.quote(masked(url))}"
            for name, url in variables.items()
            if _is_secret(url) and any(f"${name}" in command for command in commands)
        )


def _option(option: str, variable: str, url: str, default: str) -> str:
    if url == default:
        return ""
    return f' {option} "${variable}"' if _is_secret(url) else f" {option} {shlex.quote(url)}"


def _is_secret(url: str) -> bool:
    return MASK in masked(url)
