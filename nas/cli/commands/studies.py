"""``nas front``, ``nas studies`` and ``nas ui``: results of searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Storage, StudyName
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from studies.core.record import Record


def front(
    study: StudyName = "latest",
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show the Pareto front of a study: networks that no other beats in gain and runtime."""
    from nas.cli.terminal import print_json
    from studies.core.record import counts
    from studies.results.front import front as front_of
    from studies.results.front import trained, with_probabilities
    from studies.results.snapshot import read_study
    from studies.results.uncertainty import seed_noise

    info, records = read_study(storage, study)
    if as_json:
        members = with_probabilities(trained(records), seed_noise(records))
        print_json([member.to_dict() for member in front_of(members)])
        return
    tally = counts(records)
    title = f"{info.name}: {info.budget}, {tally.trained} trained, {tally.rejected} rejected"
    show_front(records, title)


def show_front(records: Sequence[Record], title: str) -> None:
    """Print the front of a study, recommendations, and what is left out of it."""
    from nas.cli.terminal import show
    from studies.report.tables import TEXT_FRONT, front_table
    from studies.results.front import left_out_note, trained, with_probabilities
    from studies.results.recommendation import best_compromise, highest_gain
    from studies.results.uncertainty import seed_noise

    noise = seed_noise(records)
    members = with_probabilities(trained(records), noise)
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
    from studies.core.record import counts
    from studies.report.tables import studies_table
    from studies.results.front import front as front_of
    from studies.results.front import trained
    from studies.results.snapshot import list_studies
    from studies.results.uncertainty import seed_noise

    documents, digits = [], []
    for info, records in list_studies(storage):
        digits.append(seed_noise(records).digits)
        tally = counts(records)
        members = front_of(trained(records))
        documents.append(
            {
                "name": info.name,
                "space": info.identity.get("space", {}).get("name"),
                "budget": str(info.budget),
                "trained": tally.trained,
                "rejected": tally.rejected,
                "broken": tally.broken,
                "front": len(members),
                "best_gain_db": members[-1].gain_db if members else None,
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
    from studies.tracking import server_command
    from studies.tracking.store import connected, fault

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
