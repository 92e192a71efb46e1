"""``nas cost``: parameters, MACs and memory of a network."""

from __future__ import annotations

from nas.cli.models import ModelSources, NetworkArgument, takes_models
from nas.cli.options import AsJson, Height, Width


@takes_models
def cost(
    network: NetworkArgument,
    sources: ModelSources,
    height: Height = 540,
    width: Width = 960,
    as_json: AsJson = False,
) -> None:
    """Count parameters, MACs, activations and peak memory of the deploy form."""
    import torch

    from nas.cli.terminal import count, print_json, show
    from nas.common.tables import Column, Table
    from nas.measure.cost.cost import cost as cost_of
    from nas.measure.cost.memory import compute_memory, measure_memory
    from nas.measure.cost.trace import deploy_form

    name, architecture = sources.network(network)
    built = deploy_form(architecture)
    found = cost_of(built, height, width)
    memory = compute_memory(built, height, width)
    if torch.cuda.is_available():
        memory = measure_memory(built, height, width)
    whole = compute_memory(built, height, width, "float32")
    if as_json:
        print_json(
            {
                "name": name,
                "architecture": architecture.to_dict(),
                "params": found.params,
                "macs_g": found.macs / 1e9,
                "macs_organiser_g": found.macs_organiser / 1e9,
                "macs_fvcore_g": found.macs_fvcore / 1e9,
                "macs_thop_g": found.macs_thop / 1e9,
                "counters_agree": found.agree,
                "activations_m": found.activations / 1e6,
                "memory_mb": memory.mb,
                "memory_kind": memory.kind,
                "memory_precision": memory.precision,
                "memory_float32_mb": whole.mb,
                "weights_mb": memory.weights_mb,
            }
        )
        return
    figures = {
        "parameters": f"{found.params:,}",
        "MACs": count(found.macs),
        "MACs, organisers' counter": count(found.macs_organiser),
        f"fvcore and thop {'agree' if found.agree else 'DISAGREE'}": (
            f"{count(found.macs_fvcore)}, {count(found.macs_thop)}"
        ),
        "activations": count(found.activations),
        f"peak memory, FP16, {memory.kind}": f"{memory.mb:.1f} MB",
        f"peak memory, FP32, {whole.kind}": f"{whole.mb:.1f} MB",
    }
    columns = [
        Column("what", architecture.label),
        Column("figure", f"LR {height}x{width}", "s"),
    ]
    show(Table(columns, [{"what": what, "figure": figure} for what, figure in figures.items()]))
