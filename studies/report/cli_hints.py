"""Commands to run next, with the flags and environment variables that they need."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from studies.core.info import StudyInfo
from studies.core.record import Record
from studies.results import promotions as promoted
from studies.results.front import front, trained
from studies.results.promotions import Promotion
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, MASK, masked

SECRETS_FIRST = f"First, with the secret in place of {MASK}:"
"""Introduces `CommandHints.exports`."""


@dataclass(frozen=True, slots=True)
class CommandHints:
    """Flags with which commands find a study and its models.

    A URL with a password is not shown: the commands name the environment variable that holds it,
    and `exports` sets it.

    Attributes:
        storage: Database URL of the study.
        tracking_uri: URI of the MLflow store.
    """

    storage: str = DEFAULT_STORAGE
    tracking_uri: str = DEFAULT_TRACKING

    @property
    def study_flags(self) -> str:
        """End of a command on the study; empty for the default storage."""
        return _flag("--storage", "NAS_STORAGE", self.storage, DEFAULT_STORAGE)

    @property
    def model_flags(self) -> str:
        """End of a command on models of MLflow; empty for the default store."""
        return _flag("--tracking-uri", "MLFLOW_TRACKING_URI", self.tracking_uri, DEFAULT_TRACKING)

    @property
    def mlflow_prefix(self) -> str:
        """Start of a command of MLflow itself."""
        if _has_secret(self.tracking_uri):
            return ""  # the variable is exported
        return f"MLFLOW_TRACKING_URI={shlex.quote(self.tracking_uri)} "

    def exports(self, *commands: str) -> tuple[str, ...]:
        """Return exports of the variables that commands use, with `MASK` for each secret."""
        variables = {"NAS_STORAGE": self.storage, "MLFLOW_TRACKING_URI": self.tracking_uri}
        return tuple(
            f"export {name}={shlex.quote(masked(url))}"
            for name, url in variables.items()
            if _has_secret(url) and any(f"${name}" in command for command in commands)
        )


def next_commands(
    info: StudyInfo,
    records: Sequence[Record],
    hints: CommandHints,
    promotions: Sequence[Promotion] = (),
    registered: str | None = None,
) -> tuple[str, ...]:
    """Return commands that continue from the state of a study.

    Args:
        info: The study.
        records: Its trials.
        hints: Flags of the commands.
        promotions: Its fully trained networks.
        registered: Name of their registered model.
    """
    champion = promoted.best(promotions, info.budget)
    if champion is None and not front(trained(records)):
        return ()
    if champion is None:
        return _with_exports(
            hints,
            f"nas front {info.name}{hints.study_flags}",
            f"nas promote {info.name}{hints.study_flags}{hints.model_flags}",
        )
    if registered is None:
        use = _use(f"{info.name}/{champion.trial}", hints.study_flags)
        return _with_exports(hints, *use)
    return registered_commands(registered, hints)


def registered_commands(name: str, hints: CommandHints) -> tuple[str, ...]:
    """Return commands that export, try and serve the champion of a registered model."""
    model = f"models:/{name}@champion"
    serve = f"{hints.mlflow_prefix}mlflow models serve -m {shlex.quote(model)}"
    serve += " --env-manager local --port 5001"
    return _with_exports(hints, *_use(model, hints.model_flags), serve)


def _with_exports(hints: CommandHints, *commands: str) -> tuple[str, ...]:
    """Put comments on variables that must be set before the commands."""
    first = (f"# {SECRETS_FIRST} {export}" for export in hints.exports(*commands))
    return (*first, *commands)


def _use(model: str, flags: str) -> tuple[str, str]:
    model = shlex.quote(model)
    return (
        f"nas export {model} --format onnx{flags}",
        f"nas upscale photo.avif -o photo-4x.png --model {model}{flags}",
    )


def _flag(option: str, variable: str, url: str, default: str) -> str:
    if url == default:
        return ""
    return f' {option} "${variable}"' if _has_secret(url) else f" {option} {shlex.quote(url)}"


def _has_secret(url: str) -> bool:
    return MASK in masked(url)
