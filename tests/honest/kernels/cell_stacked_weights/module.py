import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, hidden):
        super().__init__()
        self.cell = nn.GRUCell(inner, hidden)
        self.hidden = hidden
        self.stacked = None

    def forward(self, x, h):
        cell, n = self.cell, self.hidden
        with torch.no_grad():
            gx = torch.addmm(cell.bias_ih, x, cell.weight_ih.t())
            gh = torch.addmm(cell.bias_hh, h, cell.weight_hh.t())
            r, z = torch.sigmoid(gx[:, : 2 * n] + gh[:, : 2 * n]).chunk(2, dim=1)
            new = torch.tanh(gx[:, 2 * n :].addcmul_(r, gh[:, 2 * n :]))
            return torch.lerp(new, h, z)
