"""Compiler seeds: candidates made from what torch.compile generates. `seeds` is the door."""

from kernelwright.knowledge.compiled.seeds import LANGUAGES, NoSeeds, Seeds, no_language, seeds

__all__ = ["LANGUAGES", "NoSeeds", "Seeds", "no_language", "seeds"]
