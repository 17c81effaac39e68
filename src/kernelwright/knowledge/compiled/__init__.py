"""Compiler seeds: candidates made from what torch.compile generates. `seeds` is the door."""

from kernelwright.knowledge.compiled.seeds import NoSeeds, Seeds, seeds

__all__ = ["NoSeeds", "Seeds", "seeds"]
