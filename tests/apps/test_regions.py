"""`kernelwright regions` shows what a program would be cut into, without a search."""

import json

from kernelwright.apps.cli.main import run

MODEL = """
import torch
import torch.nn as nn

rows = 4
dim = 16


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(torch.fft.fft(torch.relu(x)).abs(), dim=-1)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
"""


def test_the_cut_is_shown_with_the_reason_for_what_stays_torch(tmp_path, capsys):
    file = tmp_path / "spectrum.py"
    file.write_text(MODEL)
    assert run(["regions", str(file), "--language", "cpp", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["number"], row["ops"], row["becomes"]) for row in rows] == [
        (1, ["relu"], "undecided"),
        (None, ["fft_fft"], "torch"),
        (None, ["abs"], "torch"),
        (2, ["softmax"], "undecided"),
    ]
    assert "of a type that problems do not have" in rows[1]["reason"]
    assert sum(row["share"] for row in rows) > 0.99


def test_a_program_whose_values_decide_what_runs_is_refused(tmp_path, capsys):
    file = tmp_path / "looks.py"
    looks = "y = x * 2 if float(x.sum()) > 0 else x * 3\n        return torch.softmax(y, dim=-1)"
    kept = MODEL.replace("return torch.softmax(torch.fft.fft(torch.relu(x)).abs(), dim=-1)", looks)
    file.write_text(kept)
    assert run(["regions", str(file), "--language", "cpp"]) == 2
    assert "one kernel cannot stand for it" in capsys.readouterr().err
