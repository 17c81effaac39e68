"""Which stages are left when attention is made as one: those that only made its scores are not."""

from __future__ import annotations

from dataclasses import replace

from kernelwright.knowledge.sketches.expr import Load, Maker, walk
from kernelwright.knowledge.sketches.stages import Plan, Stage, tensors_read


def attended(plan: Plan) -> Plan:
    """`plan` without the stages that only made scores and softmaxes for attention."""
    maker = plan.lowering.maker
    stages = list(plan.stages)
    outputs = {s.name for s in plan.lowering.problem.outputs}
    for number in reversed(range(len(stages))):
        read = {t for later in stages[number + 1 :] for t in _read(maker, later)}
        stages[number] = _storing(stages[number], read | outputs)
    # Temporaries that nobody writes stay: the names of more are counted from them.
    return replace(plan, stages=tuple(s for s in stages if s.stores))


def _storing(stage: Stage, wanted: set[str]) -> Stage:
    """`stage` with its stores to tensors that are wanted."""
    stores = tuple(s for s in stage.stores if s.target in wanted)
    product = stage.product
    if product is not None:
        own = tuple(s for s in product.stores if s.target in wanted)
        product = replace(product, stores=own)
    return replace(stage, stores=stores, product=product)


def _read(maker: Maker, stage: Stage) -> set[str]:
    """The names of the tensors that `stage` reads."""
    attention, product = stage.attention, stage.product
    if not stage.stores:
        return set()
    if attention is None or product is None:
        return tensors_read(maker, stage)
    roots = [attention.query, attention.key, attention.masked, product.right]
    roots += [s.value for s in product.stores]
    found = walk(maker, roots, {attention.score.number})
    return {e.form.tensor for e in found if isinstance(e.form, Load)}
