"""``nas front``, ``nas studies`` and ``nas ui``: what searches have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Storage, StudyName
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from rich.console import RenderableType

    from studies.core.noise import Noise
    from studies.results.front import Member
    from studies.results.snapshot import StudySnapshot


def front(
    study: StudyName = "latest",
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show a study's Pareto front: the networks that no other beats in gain and runtime."""
    from nas.cli.terminal import print_json
    from studies.results.snapshot import load

    snapshot = load(Store.parse(storage), study)
    if as_json:
        print_json([member.to_dict() for member in snapshot.front_with_probability])
        return
    tally = snapshot.counts
    title = (
        f"{snapshot.name}: {snapshot.budget}, {tally.trained} trained, {tally.rejected} rejected"
    )
    show_front(snapshot, title)


def show_front(study: StudySnapshot, title: str) -> None:
    """Print a study's front, the recommended members, and trained candidates that it leaves out."""
    from nas.cli.terminal import show
    from studies.results.front import left_out_note
    from studies.results.recommendation import best_compromise, highest_gain

    members, noise = study.trained_with_probability, study.noise
    best, highest = best_compromise(members, noise), highest_gain(members, noise)
    if best is None or highest is None:
        print(f"{title}: no front yet")
    else:
        show(front_table(members, title, noise))
        print(f"* best compromise: {best.member.title}")
        if best.tie:
            print(f"  {best.tie}")
        if highest.member != best.member:
            print(f"highest gain: {highest.member.title}")
            if highest.tie:
                print(f"  {highest.tie}")
        print(f"on front: how probable it is that no other network is better ({noise})")
    if note := left_out_note(members, noise):
        print(note)


def front_table(
    members: Sequence[Member], title: str, noise: Noise, most_rows: int | None = None
) -> RenderableType:
    """The front of trained candidates as a table, fastest first; the best compromise is marked.

    Args:
        members: With their probabilities; the front of them is not empty.
        title: Of the table.
        noise: The study's.
        most_rows: So many of the slowest are shown; None for all.
    """
    from nas.cli.terminal import table
    from nas.measure.colour import db_cell
    from studies.results.front import front, memory_shown, probability_shown, spread_shown
    from studies.results.recommendation import best_compromise

    best, digits = best_compromise(members, noise), noise.digits
    columns = ["trial", "gain dB", "on front", "colour dB", f"ms {members[0].runtime_kind}"]
    columns += ["MACs G", "params", "MB", "network"]
    if noise.repeats:
        columns.insert(2, "±")
    rows = [
        [
            f"{member.trial}{'*' if best is not None and member == best.member else ''}",
            db_cell(member.gain_db, digits),
            *([spread_shown(member, digits)] if noise.repeats else []),
            probability_shown(member),
            member.colour_shown(digits),
            f"{member.runtime_ms:.3f}",
            f"{member.macs_g:.2f}",
            f"{member.params:,}",
            memory_shown(member),
            member.network,
        ]
        for member in front(members)[-(most_rows or 0) :]
    ]
    return table(columns, rows, title)


def studies(storage: Storage = DEFAULT_STORAGE, as_json: AsJson = False) -> None:
    """List the studies of a storage with their progress."""
    from nas.cli.terminal import print_json, show, table
    from nas.measure.colour import db_cell
    from studies.results.snapshot import load_all

    documents, digits = [], []
    for study in load_all(Store.parse(storage)):
        digits.append(study.noise.digits)
        documents.append(
            {
                "name": study.name,
                "space": study.info.identity.get("space", {}).get("name"),
                "budget": str(study.budget),
                "trained": study.counts.trained,
                "rejected": study.counts.rejected,
                "broken": study.counts.broken,
                "front": len(study.front),
                "best_gain_db": study.front[-1].gain_db if study.front else None,
            }
        )
    if as_json:
        print_json(documents)
        return
    rows = [
        [
            str(d["name"]),
            str(d["space"]),
            str(d["budget"]),
            str(d["trained"]),
            str(d["rejected"]),
            str(d["broken"]),
            str(d["front"]),
            db_cell(d["best_gain_db"], shown),
        ]
        for d, shown in zip(documents, digits, strict=True)
    ]
    columns = ["study", "space", "budget", "trained", "rejected", "broken", "front", "best dB"]
    show(table(columns, rows))


def ui(
    tracking_uri: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI", show_envvar=False, help="MLflow store to show: sqlite."
        ),
    ] = DEFAULT_TRACKING,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Open the MLflow UI on the tracking store; Ctrl+C ends it."""
    from nas.cli.child_process import companion
    from nas.cli.terminal import say
    from nas.common.errors import InputError
    from studies.storage.store import sqlite_file

    file = sqlite_file(tracking_uri)
    if file is None:
        raise InputError(
            f"--tracking-uri {tracking_uri.split('://')[0]}://...: that store has a server of its "
            "own, open its address in a browser"
        )
    if not file.exists():
        raise InputError(f"there is no tracking store {file}; run 'nas search' first, or name it")
    _require_free(host, port)
    from studies.tracking import server_command
    from studies.tracking.store import connected, fault

    try:
        table = connected(tracking_uri).show_table()
    except Exception as error:  # from SQL to operating system
        raise InputError(fault(tracking_uri, error)) from error
    command, environment = server_command(tracking_uri, host, port)
    say(f"the studies in MLflow: http://{host}:{port}{table} (Ctrl+C ends it)")
    with companion(command, environment) as server:
        code = server.wait()
    raise typer.Exit(code)


def _require_free(host: str, port: int) -> None:
    """Refuse an address that nobody can listen on: MLflow would say so among much else."""
    import socket

    from nas.common.errors import InputError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror or error}; give another --port"
        ) from error
