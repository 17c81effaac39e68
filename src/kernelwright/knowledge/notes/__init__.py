"""Notes: what beats what in a language on its hardware, and what helps against a bottleneck."""

from kernelwright.knowledge.notes.pages import ABOUT_BOTTLENECKS, ABOUT_LANGUAGES, passages

__all__ = ["ABOUT_BOTTLENECKS", "ABOUT_LANGUAGES", "passages"]
