import pytest

from kernelwright.search.evolve import Evolve
from kernelwright.testing.strategies import DRAFTERS, StrategyContract


class TestEvolve(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Evolve(drafters=DRAFTERS, seed=7)
