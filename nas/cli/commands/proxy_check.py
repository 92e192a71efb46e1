"""``nas proxy-check``: whether short trainings order networks as long ones do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Data, Device, Plugins, Storage, TargetName, TrackingUri
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from nas.training.proxy.check import Plan
    from search_spaces.architecture import Architecture

QUICK_MS = 2.0
"""The survey's networks up to this runtime are checked by default: slower ones train for long on a
CPU, and are so much better that any guess ranks them."""


def proxy_check(
    networks: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated networks of the survey, JSON files or models; "
            "default the survey's under 2 ms."
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Take random networks of this space instead.")
    ] = None,
    samples: Annotated[int, typer.Option(min=3, help="How many of the space.")] = 12,
    steps: Annotated[str, typer.Option(help="Budgets to check, in training steps.")] = "150,600",
    seeds: Annotated[int, typer.Option(min=1, help="Runs for each network and budget.")] = 3,
    reference: Annotated[
        str,
        typer.Option(
            help="What the order should be: published (the survey's gains), a JSON file of gains "
            "(promoted/gains.json, evaluation.json), or long:STEPS to train that long."
        ),
    ] = "published",
    data: Data = None,
    teacher: Annotated[str, typer.Option(help="hat-tiny, a weights file, or none.")] = "hat-tiny",
    target: TargetName = "auto",
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; default one a core, on CUDA one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("proxy-checks"),
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure how far proxy runs order networks rightly, with seed noise and guesses beside them.

    Finished runs are kept: the same command continues, and more seeds, steps or networks cost
    only what is new. Writes a JSON document and a scatter plot.
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
    from nas.training.proxy.runs import Source
    from studies.report.static import scatter

    if networks is not None and space is not None:
        raise InputError("give --networks or --space, not both")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")
    if space is not None:
        chosen = _sampled(space, samples, plugin)
    else:
        chosen = _named(networks, storage, tracking_uri, plugin)
    plan = _plan(chosen, steps, seeds, reference)
    where = usable_device(device)
    runtimes = resolve_target(target)
    with progress_bar("sample set") as progress:
        folder = data or sample_set(progress)
    source = Source(
        folder.absolute(), None if teacher == "none" else teacher, where, tuple(plugin or ())
    )
    cores = len(os.sched_getaffinity(0))
    with progress_bar("training steps") as progress:
        found = check(
            plan,
            source,
            runtimes,
            workers=workers or (1 if where.startswith("cuda") else cores),
            progress=progress,
        )
    result = document(found, plan, reference, runtimes.kind)
    result |= {"data": str(folder), "teacher": source.teacher, "device": where}
    write_atomic(out / "proxy-check.json", (json.dumps(result, indent=2) + "\n").encode())
    write_atomic(out / "proxy-check.png", scatter(result))
    if as_json:
        print_json(result)
    else:
        _show(result)
    say(f"{out / 'proxy-check.png'} shows it, {out / 'proxy-check.json'} has every run")


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
    told = reference.removeprefix("long:")
    if not told.isdigit() or int(told) <= budgets[-1]:
        raise InputError(
            f"--reference {reference}: give more steps than --steps, such as "
            f"long:{10 * budgets[-1]}"
        )
    return Plan(networks, budgets, seeds, None, int(told))


def _named(
    given: str | None, storage: str, tracking_uri: str, plugins: Sequence[str] | None
) -> dict[str, Architecture]:
    from nas.cli.model_arguments import network
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
        name, architecture = network(
            source, storage=storage, tracking_uri=tracking_uri, plugins=plugins
        )
        if name in found:
            raise InputError(f"--networks names two networks '{name}'")
        found[name] = architecture
    return found


def _sampled(space: str, samples: int, plugins: Sequence[str] | None) -> dict[str, Architecture]:
    """Random networks of a space, no two alike; the same ones every time."""
    from search_spaces.networks.factory import layout
    from search_spaces.plugins import load_all
    from search_spaces.space import load_space

    load_all(plugins or ())
    loaded = load_space(space)
    luck = random.Random(0)
    found: dict[Architecture, Architecture] = {}
    for _ in range(100 * samples):
        drawn = {d.name: luck.choice(d.choices) for d in loaded.dimensions}
        architecture = loaded.architecture(drawn)
        found.setdefault(layout(architecture), architecture)
        if len(found) == samples:
            break
    return {f"{a.label}#{index}": a for index, a in enumerate(found.values())}


def _show(found: dict[str, Any]) -> None:
    from nas.cli.terminal import show, table

    budgets = sorted(int(steps) for steps in found["networks"][0]["runs"])
    columns = ["network", "reference dB", *(f"{b} steps" if b else "start" for b in budgets)]
    columns += ["works at", f"ms {found['networks'][0]['runtime_kind']}", "MACs G", "params"]
    rows = [
        [
            network["name"],
            f"{network['reference_gain_db']:+.3f}",
            *(_spread(network["runs"][str(steps)]) for steps in budgets),
            f"1/{network['working_factor']}",
            f"{network['runtime_ms']:.3f}",
            f"{network['macs_g']:.2f}",
            f"{network['params']:,}",
        ]
        for network in found["networks"]
    ]
    seeds = f"mean and standard deviation of {found['seeds']} seeds"
    show(table(columns, rows, f"Gain over Lanczos in dB, {seeds}; best by {found['reference']}"))
    print()
    rows = [
        [
            guess["name"],
            f"{guess['kendall']:+.2f}",
            _range(guess),
            f"{guess['spearman']:+.2f}",
            _pairs(guess["similar_runtime"]),
            _pairs(guess["same_resolution"]),
            _pairs(guess["across_resolutions"]),
            _noise(guess),
            _share(guess["resolved"], found),
            "-" if guess["seconds"] is None else f"{guess['seconds']:.1f}",
        ]
        for guess in found["guesses"]
    ]
    columns = ["guessed by", "Kendall", "by seed", "Spearman", "similar runtime"]
    columns += ["same resolution", "other", "seed sd dB", "resolved pairs right", "s a run"]
    show(table(columns, rows, f"Order against {found['reference']}: 1 is right, 0 is luck"))
    print()
    print(found["conclusion"])
    print()
    count = len(found["networks"])
    print(
        f"Kendall of {count} networks strays by {found['chance_kendall_sd']:.2f} (1 sd) when the "
        "guess is pure luck."
    )
    print(
        "Kendall and Spearman are of one run a network, as a search trains; the other columns of "
        "the means over seeds."
    )
    print(
        f"similar runtime: Kendall over pairs within {found['similar_runtime_ratio']:g}x, number "
        "of pairs in brackets; same and other: over pairs that work at one resolution, at two."
    )
    print(
        "resolved pairs: those further apart than twice what seeds move networks against each "
        "other; the rest it cannot tell apart."
    )
    for name, why in found["failed"].items():
        print(f"left out: {name} {why}")


def _spread(runs: Sequence[dict[str, Any]]) -> str:
    from statistics import fmean, stdev

    gains = [run["gain_db"] for run in runs]
    return f"{fmean(gains):+.3f}" + (f" ±{stdev(gains):.3f}" if len(gains) > 1 else "")


def _range(guess: dict[str, Any]) -> str:
    if guess["seed_sd"] is None:
        return "-"
    return f"{guess['kendall_low']:+.2f} to {guess['kendall_high']:+.2f}"


def _noise(guess: dict[str, Any]) -> str:
    """Only gains are in dB."""
    if guess["seed_sd"] is None or "gain" not in guess["name"]:
        return "-"
    return f"{guess['seed_sd']:.4f}"


def _pairs(pairs: dict[str, Any]) -> str:
    return "-" if pairs["kendall"] is None else f"{pairs['kendall']:+.2f} ({pairs['pairs']})"


def _share(resolved: dict[str, Any] | None, found: dict[str, Any]) -> str:
    if resolved is None:
        return "-"
    count = len(found["networks"])
    return f"{resolved['right']} of {resolved['pairs']} (all {count * (count - 1) // 2})"
