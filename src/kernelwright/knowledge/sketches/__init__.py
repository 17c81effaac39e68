"""Sketches: kernels made from a traced graph, without a model. `drafts` is the door."""

from kernelwright.knowledge.sketches.drafts import Covered, NotCovered, drafts

__all__ = ["Covered", "NotCovered", "drafts"]
