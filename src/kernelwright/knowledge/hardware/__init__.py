"""Hardware: what the devices that kernels run on can do at most, with the source of each figure."""

from kernelwright.knowledge.hardware.table import Cpu, Device, Gpu, device, devices

__all__ = ["Cpu", "Device", "Gpu", "device", "devices"]
