"""``nas proxy-check``: how well short trainings rank networks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.models import ModelSources, takes_models
from nas.cli.options import AsJson, Data, Device, TargetName

if TYPE_CHECKING:
    from nas.training.proxy.check import Plan
    from search_spaces.architecture import Architecture

QUICK_MS = 2.0
"""Networks of the survey up to this runtime are checked by default. Slower ones train for long on a
CPU, and are so much better that any predictor ranks them."""


@takes_models
def proxy_check(
    sources: ModelSources,
    networks: Annotated[
        str | None,
        typer.Option(
            help="Networks of the survey, JSON files or models, separated by commas; "
            "default those of the survey under 2 ms."
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Check random networks of this space instead.")
    ] = None,
    samples: Annotated[int, typer.Option(min=3, help="Number of random networks.")] = 12,
    steps: Annotated[str, typer.Option(help="Lengths of training to check, in steps.")] = "150,600",
    seeds: Annotated[int, typer.Option(min=1, help="Runs per network and length.")] = 3,
    reference: Annotated[
        str,
        typer.Option(
            help="Reference ranking: published (gains of the survey), a JSON file of gains "
            "(promoted/gains.json, evaluation.json), or long:STEPS to train that long."
        ),
    ] = "published",
    data: Data = None,
    teacher: Annotated[str, typer.Option(help="hat-tiny, a weights file, or none.")] = "hat-tiny",
    target: TargetName = "auto",
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Parallel runs; default one a core, on CUDA one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("proxy-checks"),
    as_json: AsJson = False,
) -> None:
    """Check how well short trainings rank networks, beside seed noise and simple predictors.

    Finished runs are stored: run again, the command continues, and more seeds, steps or networks
    cost only the new runs. Writes a JSON document and a scatter plot.
    """
    import json
    import os

    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.errors import InputError
    from nas.common.files import write_atomic
    from nas.data.sample import sample_set
    from nas.measure.device import usable_device
    from nas.measure.latency.target import resolve_target
    from nas.training.proxy.check import check, document
    from nas.training.proxy.runs import ProxyDataSpec
    from studies.report.static import proxy_check_png

    if networks is not None and space is not None:
        raise InputError("give --networks or --space, not both")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")
    if space is not None:
        chosen = _sampled(space, samples, sources.plugins)
    else:
        chosen = _named(networks, sources)
    plan = _plan(chosen, steps, seeds, reference)
    device = usable_device(device)
    runtimes = resolve_target(target)
    with progress_bar("sample dataset") as progress:
        folder = data or sample_set(progress)
    source = ProxyDataSpec(
        folder.absolute(), None if teacher == "none" else teacher, device, sources.plugins
    )
    cores = len(os.sched_getaffinity(0))
    with progress_bar("training steps") as progress:
        found = check(
            plan,
            source,
            runtimes,
            workers=workers or (1 if device.startswith("cuda") else cores),
            progress=progress,
        )
    result = document(found, plan, reference, runtimes.kind)
    result |= {"data": str(folder), "teacher": source.teacher, "device": device}
    write_atomic(out / "proxy-check.json", (json.dumps(result, indent=2) + "\n").encode())
    write_atomic(out / "proxy-check.png", proxy_check_png(result))
    if as_json:
        print_json(result)
    else:
        _print(result)
    say(f"scatter plot: {out / 'proxy-check.png'}, all runs: {out / 'proxy-check.json'}")


def _plan(networks: dict[str, Architecture], steps: str, seeds: int, reference: str) -> Plan:
    from nas.common.errors import InputError
    from nas.training.proxy.check import Plan, read_reference
    from search_spaces import published

    try:
        budgets = tuple(sorted({int(part) for part in steps.split(",")}))
    except ValueError:
        budgets = ()
    if not budgets or budgets[0] < 1:
        raise InputError(f"--steps '{steps}': give whole numbers above zero, such as 150,600")
    if not reference.startswith("long:"):
        if reference == "published":
            gains = {name: known.table1.gain_db for name, known in published.items()}
        else:
            gains = read_reference(Path(reference))
        return Plan(networks, budgets, seeds, gains)
    length = reference.removeprefix("long:")
    if not length.isdigit() or int(length) <= budgets[-1]:
        raise InputError(
            f"--reference {reference}: give more steps than --steps, such as "
            f"long:{10 * budgets[-1]}"
        )
    return Plan(networks, budgets, seeds, None, int(length))


def _named(given: str | None, sources: ModelSources) -> dict[str, Architecture]:
    from nas.common.errors import InputError
    from search_spaces import published

    if given is None:
        return {
            name: known.architecture
            for name, known in published.items()
            if known.table1.runtime_ms <= QUICK_MS
        }
    found: dict[str, Architecture] = {}
    for source in filter(None, map(str.strip, given.split(","))):
        name, architecture = sources.network(source)
        if name in found:
            raise InputError(f"--networks names two networks '{name}'")
        found[name] = architecture
    return found


def _sampled(space: str, samples: int, plugins: Sequence[str]) -> dict[str, Architecture]:
    """Draw different random networks of a space; the same ones every time."""
    from search_spaces.networks.factory import layout
    from search_spaces.plugins import load_all
    from search_spaces.space import load_space

    load_all(plugins)
    loaded = load_space(space)
    generator = random.Random(0)
    found: dict[Architecture, Architecture] = {}
    for _ in range(100 * samples):
        drawn = {d.name: generator.choice(d.choices) for d in loaded.dimensions}
        architecture = loaded.architecture(drawn)
        found.setdefault(layout(architecture), architecture)
        if len(found) == samples:
            break
    return {f"{a.label}#{index}": a for index, a in enumerate(found.values())}


def _print(found: dict[str, Any]) -> None:
    from nas.cli.terminal import show
    from nas.common.tables import Column, Table

    budgets = sorted(int(steps) for steps in found["networks"][0]["runs"])
    columns = [
        Column("name", "network"),
        Column("reference_gain_db", "reference dB", "+.3f", optional=2),
        *(
            Column(str(steps), f"{steps} steps" if steps else "start", "s", steps != budgets[-1])
            for steps in budgets
        ),
        Column("works_at", "works at", "s", optional=6),
        Column("runtime_ms", f"ms {found['networks'][0]['runtime_kind']}", ".3f", optional=3),
        Column("macs_g", "MACs G", ".2f", optional=4),
        Column("params", "params", ",d", optional=5),
    ]
    rows = [
        {
            **network,
            **{str(steps): _spread(network["runs"][str(steps)]) for steps in budgets},
            "works_at": f"1/{network['working_factor']}",
        }
        for network in found["networks"]
    ]
    seeds = f"mean and standard deviation of {found['seeds']} seeds"
    title = f"Gain over Lanczos in dB, {seeds}; best by {found['reference']}"
    show(Table(columns, rows), title)
    print()
    columns = [
        Column("name", "predictor"),
        Column("kendall", "Kendall", "+.2f"),
        Column("by_seed", "by seed", "s", optional=2),
        Column("spearman", "Spearman", "+.2f", optional=1),
        Column("similar_runtime", "similar runtime", "s", optional=3),
        Column("same_resolution", "same resolution", "s", optional=5),
        Column("across_resolutions", "other", "s", optional=6),
        Column("seed_sd", "seed sd dB", ".4f", optional=7),
        Column("resolved", "resolved pairs right", "s", optional=4),
        Column("seconds", "s a run", ".1f", optional=8),
    ]
    pairs = ("similar_runtime", "same_resolution", "across_resolutions")
    rows = [
        {
            **guess,
            "by_seed": None
            if guess["seed_sd"] is None
            else f"{guess['kendall_low']:+.2f} to {guess['kendall_high']:+.2f}",
            **{key: _pairs(guess[key]) for key in pairs},
            "seed_sd": guess["seed_sd"] if "gain" in guess["name"] else None,  # others are no dB
            "resolved": _share(guess["resolved"], found),
        }
        for guess in found["guesses"]
    ]
    show(Table(columns, rows), f"Ranking against {found['reference']}: 1 is right, 0 is chance")
    print()
    print(found["conclusion"])
    print()
    count = len(found["networks"])
    print(
        f"By chance, Kendall of {count} networks is 0 with a standard deviation of "
        f"{found['chance_kendall_sd']:.2f}."
    )
    print(
        "Kendall and Spearman use one run per network, as a search does; the other columns use "
        "means over seeds."
    )
    print(
        f"similar runtime: Kendall over pairs within {found['similar_runtime_ratio']:g}x, number "
        "of pairs in brackets; same, other: over pairs that work at the same resolution, or not."
    )
    print(
        "resolved pairs: those further apart than twice the seed noise of their difference; "
        "others cannot be distinguished."
    )
    for name, why in found["failed"].items():
        print(f"left out: {name} {why}")


def _spread(runs: Sequence[dict[str, Any]]) -> str:
    from statistics import fmean, stdev

    gains = [run["gain_db"] for run in runs]
    return f"{fmean(gains):+.3f}" + (f" ±{stdev(gains):.3f}" if len(gains) > 1 else "")


def _pairs(pairs: dict[str, Any]) -> str | None:
    return None if pairs["kendall"] is None else f"{pairs['kendall']:+.2f} ({pairs['pairs']})"


def _share(resolved: dict[str, Any] | None, found: dict[str, Any]) -> str | None:
    if resolved is None:
        return None
    count = len(found["networks"])
    return f"{resolved['right']} of {resolved['pairs']} (all {count * (count - 1) // 2})"
