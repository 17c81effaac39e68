"""Actions: optimisations that have a name, and a page on each in the languages it is done in."""

from kernelwright.knowledge.actions.table import ACTIONS, carried_out, page, sketches_of

__all__ = ["ACTIONS", "carried_out", "page", "sketches_of"]
