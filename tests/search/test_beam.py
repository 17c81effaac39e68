import pytest

from kernelwright.search.beam import Beam
from kernelwright.testing.strategies import DRAFTERS, StrategyContract


class TestBeam(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Beam(drafters=DRAFTERS, seed=7)
