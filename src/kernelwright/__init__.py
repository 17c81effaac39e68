"""Kernelwright turns a PyTorch program into a faster kernel that can be believed."""

__version__ = "0.1.0"
