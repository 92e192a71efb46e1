"""``nas networks``, ``cost`` and ``latency``: what a network is and what it takes to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture

Named = Annotated[str, typer.Argument(help="A published network, or a file with its JSON.")]
Height = Annotated[int, typer.Option(min=1, help="LR height.")]
Width = Annotated[int, typer.Option(min=1, help="LR width.")]


def find(name_or_file: str) -> Architecture:
    """A published network by name (case does not matter) or an architecture from a JSON file.

    Raises:
        InputError: neither a published network nor a readable file.
    """
    from search_spaces import Architecture, InputError, published

    for name, network in published.items():
        if name.lower() == name_or_file.lower():
            return network.architecture
    path = Path(name_or_file)
    if not path.is_file():
        known = ", ".join(published)
        raise InputError(f"there is no network or file '{name_or_file}'; published are {known}")
    try:
        return Architecture.from_json(path.read_text(encoding="utf-8"))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error


def networks(as_json: AsJson = False) -> None:
    """List the survey's networks with their cost beside the published figures."""
    from nas.cli.terminal import print_json, progress_bar, show, table
    from nas.measure.cost import cost
    from nas.measure.targets import resolve_target
    from search_spaces import published

    target = resolve_target("rtx4090")
    rows, documents = [], []
    with progress_bar("counting") as progress:
        for done, (name, network) in enumerate(published.items()):
            progress(done, len(published), name)
            found = cost(network.architecture)
            runtime = target.latency(network.architecture)
            row = network.table1
            documents.append(
                {
                    "name": name,
                    "fidelity": network.fidelity,
                    "architecture": network.architecture.to_dict(),
                    "params": found.params,
                    "macs_g": found.macs / 1e9,
                    "macs_organiser_g": found.macs_organiser / 1e9,
                    "runtime_ms": runtime.ms,
                    "runtime_kind": runtime.kind,
                    "published": {
                        "params_m": row.params_m,
                        "macs_g": row.macs_g,
                        "runtime_ms": row.runtime_ms,
                        "gain_db": row.gain_db,
                        "score": row.score,
                    },
                }
            )
            gain = "-" if row.gain_db is None else f"{row.gain_db:+.3f}"
            rows.append(
                [
                    name,
                    network.fidelity,
                    f"{found.params:,}",
                    f"{row.params_m:.3f} M",
                    f"{found.macs / 1e9:.3f}",
                    f"{found.macs_organiser / 1e9:.3f}",
                    f"{row.macs_g:g}",
                    f"{runtime.ms:.3f}",
                    f"{row.runtime_ms:.3f}",
                    gain,
                ]
            )
    if as_json:
        print_json(documents)
        return
    columns = ["network", "fidelity", "params", "survey", "MACs G", "organiser G", "survey"]
    columns += ["ms predicted", "survey", "gain dB (survey)"]
    show(table(columns, rows))
    print(f"runtime: {target.note}")


def cost(network: Named, height: Height = 540, width: Width = 960, as_json: AsJson = False) -> None:
    """Count parameters, MACs and activations of the deploy form."""
    from nas.cli.terminal import count, print_json, show, table
    from nas.measure.cost import cost as cost_of

    architecture = find(network)
    found = cost_of(architecture, height, width)
    if as_json:
        print_json(
            {
                "name": network,
                "architecture": architecture.to_dict(),
                "params": found.params,
                "macs_g": found.macs / 1e9,
                "macs_organiser_g": found.macs_organiser / 1e9,
                "macs_fvcore_g": found.macs_fvcore / 1e9,
                "macs_thop_g": found.macs_thop / 1e9,
                "counters_agree": found.agree,
                "activations_m": found.activations / 1e6,
            }
        )
        return
    agreement = "agree" if found.agree else "DISAGREE"
    rows = [
        ["parameters", f"{found.params:,}"],
        ["MACs", count(found.macs)],
        ["MACs, organisers' counter", count(found.macs_organiser)],
        [
            f"fvcore and thop {agreement}",
            f"{count(found.macs_fvcore)}, {count(found.macs_thop)}",
        ],
        ["activations", count(found.activations)],
    ]
    show(table([architecture.label, f"LR {height}x{width}"], rows))


def latency(
    network: Named,
    target: Annotated[str, typer.Option(help="auto, cuda, cpu or rtx4090 (predicted).")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure the deploy form's runtime at 540x960, or predict it where no such device is."""
    from nas.cli.terminal import print_json, say
    from nas.measure.targets import resolve_target

    architecture = find(network)
    chosen = resolve_target(target)
    say(f"[dim]{chosen.note}")
    found = chosen.latency(architecture)
    if as_json:
        print_json(
            {
                "name": network,
                "architecture": architecture.to_dict(),
                "runtime_ms": found.ms,
                "runtime_kind": found.kind,
                "target": found.target,
                "backend": found.backend,
                "mode": found.mode,
                "details": found.details,
            }
        )
    else:
        how = " ".join(word for word in (found.mode, found.backend) if word)
        print(f"{architecture.label}: {found.ms:.3f} ms {found.kind} on {found.target} {how}")
