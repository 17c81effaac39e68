"""Searches played for real: one judge that they see, and another that values what they chose."""

import pytest

from kernelwright.compare import ground as grounds
from kernelwright.compare.comparing import Arm, on_ground
from kernelwright.core.run import Budget
from kernelwright.evaluate.judge import Judge
from kernelwright.languages.cpp import Cpp
from kernelwright.run.folder import RunFolder
from kernelwright.run.spec import load_spec

MODEL = """
import torch

rows = 64

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1.0

def get_inputs():
    return [torch.randn(rows, 32)]

def get_init_inputs():
    return []
"""


@pytest.mark.slow
@pytest.mark.skipif(Cpp().missing("time") is not None, reason=str(Cpp().missing("time")))
def test_a_choice_is_valued_by_a_judge_that_no_search_sees(tmp_path, monkeypatch):
    judges = []

    class Counted(Judge):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.asked = []
            judges.append(self)

        def judge(self, candidate, effort):
            self.asked.append(candidate.id)
            return super().judge(candidate, effort)

    monkeypatch.setattr(grounds, "Judge", Counted)
    (tmp_path / "model.py").write_text(MODEL)
    given = {"problem": str(tmp_path / "model.py"), "writers": ("sketch",), "device": "cpu"}
    with grounds.live("model", load_spec(None, given), RunFolder(tmp_path)) as told:
        trials = on_ground(
            told, [Arm(strategy="best_of_n"), Arm(strategy="refine")], [0], Budget(max_attempts=1)
        )
        first, second = trials
    searched, valued = judges
    assert first.final > 0
    # The same draft, which neither judge looks at anew.
    assert second.worth == first.worth
    assert len(set(searched.asked)) == len(set(valued.asked)) == 1
    assert set(searched.asked) == set(valued.asked)
