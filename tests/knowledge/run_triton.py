"""Runs or compiles Triton candidates in a process of its own.

python run_triton.py run FOLDER       calls each module on its tensors, under the interpreter
python run_triton.py compile FOLDER   compiles each kernel for a GPU that need not be there, where
                                      types.json has the types of its tensors
"""

import dataclasses
import importlib.util
import json
import math
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

# Elements around each tensor that a module makes, none of which it may write.
MARGIN, UNTOUCHED = 4096, 0x55
TILE = {"ROWS": 4, "DEPTHS": 8, "LANES": 256, "PARTS": 16, "QUERIES": 64, "KEYS": 32, "INNER": 16,
        "HEAD": 32, "TILE_ROWS": 64, "TILE_COLUMNS": 32, "TILE_DEPTH": 16, "XBLOCK": 4,
        "YBLOCK": 8, "R0_BLOCK": 256}  # fmt: skip
SIZE = 12  # of an axis that is a constant


def interpret_whole_tiles():
    """Let Triton's interpreter combine whole tiles where it would call a function for each element.

    Neighbours are combined, and then neighbours among what this gave, as a GPU does. So a function
    that is not associative, or forgets that both sides can stand for many elements, is found out.
    """
    from triton.runtime import interpreter

    def along(axis, part):
        return (slice(None),) * axis + (part,)

    def combined(op, kinds, left, right):
        sides = [op.to_tensor(a, kind) for side in (left, right)
                 for a, kind in zip(side, kinds, strict=True)]  # fmt: skip
        found = op.combine_fn.fn(*sides)
        found = found if isinstance(found, tuple) else (found,)
        return [f.handle.data.astype(a.dtype) for f, a in zip(found, left, strict=True)]

    def generic_reduce(op, given):
        kinds, ranks = [g.dtype for g in given], given[0].handle.data.ndim
        given, axis = op.unravel(given, op.axis)
        values = [g.handle.data for g in given]
        while (count := values[0].shape[axis]) > 1:
            assert count % 2 == 0, "tiles have a power of two of elements"
            left, right = ([v[along(axis, slice(n, None, 2))] for v in values] for n in (0, 1))
            values = combined(op, kinds, left, right)
        if op.axis is None:
            values = [v.reshape((1,) * ranks if op.keep_dims else ()) for v in values]
        elif not op.keep_dims:
            values = [v.squeeze(axis) for v in values]
        return [op.to_tensor(v if v.shape else v.item(), k)
                for v, k in zip(values, kinds, strict=True)]  # fmt: skip

    def generic_scan(op, given):
        kinds, values = [g.dtype for g in given], [g.handle.data for g in given]
        step = 1
        while step < (count := values[0].shape[op.axis]):
            before = combined(op, kinds, [np.roll(v, step, op.axis) for v in values], values)
            kept = along(op.axis, slice(step)), along(op.axis, slice(step, count))
            values = [np.concatenate([v[kept[0]], b[kept[1]]], op.axis)
                      for v, b in zip(values, before, strict=True)]  # fmt: skip
            step *= 2
        return [op.to_tensor(v, k) for v, k in zip(values, kinds, strict=True)]

    patching = interpreter.InterpretedFunction.__call__

    def call(function, *args, **kwargs):
        # A function of the candidate's sees the names of the kernel that calls it, which the launch
        # has patched; one of Triton's sees others.
        if function.fn.__module__.startswith("triton."):
            return patching(function, *args, **kwargs)
        return function.rewrite()(*args, **kwargs)

    # Whether a sum of integers overflows is worked out for an assertion that is left out anyway.
    builder = interpreter.interpreter_builder
    builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)
    interpreter.ReduceOps.generic_reduce = generic_reduce
    interpreter.ScanOps.generic_scan = generic_scan
    interpreter.InterpretedFunction.__call__ = call


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"candidate_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Guarded:
    """`torch.empty` with a margin around what it returns, for the time of one call."""

    def __enter__(self):
        self.real, self.made = torch.empty, []
        torch.empty = self.empty
        return self

    def empty(self, size, **options):
        count = math.prod(size) if isinstance(size, tuple) else size
        whole = self.real(count + 2 * MARGIN, **options)
        whole.view(torch.uint8).fill_(UNTOUCHED)
        self.made.append((whole, count))
        return whole[MARGIN : MARGIN + count].view(size)

    def __exit__(self, *_):
        torch.empty = self.real
        for whole, count in self.made:
            for margin in (whole[:MARGIN], whole[MARGIN + count :]):
                assert (margin.view(torch.uint8) == UNTOUCHED).all(), "written beside a tensor"


def run(folder: Path):
    module = load(folder / "kernel.py")
    for path in sorted(folder.glob("case*.pt")):
        case = torch.load(path)
        model = module.ModelNew(*case["sizes"])
        for ours, theirs in zip(model.state_dict().values(), case["weights"], strict=True):
            ours.copy_(theirs)
        with torch.no_grad(), Guarded():
            returned = model(*case["inputs"])
        found = returned if isinstance(returned, tuple) else (returned,)
        torch.save(list(found), folder / f"out_{path.name}")


def compile_kernels(folder: Path):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    module, types = load(folder / "kernel.py"), json.loads((folder / "types.json").read_text())
    found = {}
    for name, kernel in vars(module).items():
        if name.startswith(("kw_stage", "triton_")):
            tile = {p.name: TILE.get(p.name, SIZE) for p in kernel.params if p.is_constexpr}
            tile |= {"INDEX": triton.language.int32} if "INDEX" in kernel.arg_names else {}
            # What is no tensor is a size.
            signature = {a: "constexpr" if a in tile else types.get(a, "i32")
                         for a in kernel.arg_names}  # fmt: skip
            source = ASTSource(fn=kernel, signature=signature, constexprs=tile)
            built = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            found[name] = len(built.asm["ptx"])
    (folder / "compiled.json").write_text(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        interpret_whole_tiles()
    for candidate in sorted(p for p in Path(sys.argv[2]).iterdir() if p.is_dir()):
        try:
            if sys.argv[1] == "run":
                run(candidate)
            elif (candidate / "types.json").exists():
                compile_kernels(candidate)
        except Exception:
            (candidate / "error.txt").write_text(traceback.format_exc())
