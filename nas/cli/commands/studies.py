"""``nas front``, ``nas studies`` and ``nas ui``: results of searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Storage, StudyName
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from studies.results.snapshot import StudySnapshot


def front(
    study: StudyName = "latest",
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show the Pareto front of a study: networks that no other beats in gain and runtime."""
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
    """Print the front of a study, recommendations, and what is left out of it."""
    from nas.cli.terminal import show
    from studies.report.tables import TEXT_FRONT, front_table
    from studies.results.front import left_out_note
    from studies.results.recommendation import best_compromise, highest_gain

    members, noise = study.trained_with_probability, study.noise
    best, highest = best_compromise(members, noise), highest_gain(members, noise)
    if best is None or highest is None:
        print(f"{title}: no front yet")
    else:
        show(front_table(members, noise, TEXT_FRONT, best.member), title)
        print(f"* best compromise: {best.member.title}")
        if best.tie:
            print(f"  {best.tie}")
        if highest.member != best.member:
            print(f"highest gain: {highest.member.title}")
            if highest.tie:
                print(f"  {highest.tie}")
        print(f"on front: probability that no other network is better ({noise})")
    if note := left_out_note(members, noise):
        print(note)


def studies(storage: Storage = DEFAULT_STORAGE, as_json: AsJson = False) -> None:
    """List the studies of a storage with their progress."""
    from nas.cli.terminal import print_json, show
    from studies.report.tables import studies_table
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
    else:
        show(studies_table(documents, digits))


def ui(
    tracking_uri: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI", show_envvar=False, help="MLflow store: an sqlite:/// URI."
        ),
    ] = DEFAULT_TRACKING,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Serve the MLflow UI of the tracking store until Ctrl+C."""
    from nas.cli.child_process import companion
    from nas.cli.terminal import say
    from nas.common.errors import InputError
    from studies.storage.store import sqlite_file

    file = sqlite_file(tracking_uri)
    if file is None:
        raise InputError(
            f"--tracking-uri {tracking_uri.split('://')[0]}://...: this store has a server: "
            "open its address in a browser"
        )
    if not file.exists():
        raise InputError(
            f"there is no tracking store {file}: run 'nas search' first, or give --tracking-uri"
        )
    _require_free(host, port)
    from studies.tracking.store import connected, fault, server_command

    try:
        table = connected(tracking_uri).show_table()
    except Exception as error:  # of SQL, MLflow or the operating system
        raise InputError(fault(tracking_uri, error)) from error
    command, environment = server_command(tracking_uri, host, port)
    say(f"MLflow UI of the studies: http://{host}:{port}{table} (stop with Ctrl+C)")
    with companion(command, environment) as server:
        code = server.wait()
    raise typer.Exit(code)


def _require_free(host: str, port: int) -> None:
    """Refuse an address that is in use; MLflow reports that among many other lines."""
    import socket

    from nas.common.errors import InputError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror or error}; give another --port"
        ) from error
