import pytest

from kernelwright.search.tree import Tree
from kernelwright.testing.strategies import DRAFTERS, StrategyContract


class TestTree(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Tree(drafters=DRAFTERS, seed=7)
