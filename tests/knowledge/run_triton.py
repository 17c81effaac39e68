"""Runs or compiles Triton candidates in a process of its own, for `test_triton_sketches`.

python run_triton.py run FOLDER       calls each module on its tensors, under the interpreter
python run_triton.py compile FOLDER   compiles each kernel for a GPU that need not be there
"""

import importlib.util
import json
import sys
import traceback
from pathlib import Path

import torch


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"candidate_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(folder: Path):
    module = load(folder / "kernel.py")
    for path in sorted(folder.glob("case*.pt")):
        case = torch.load(path)
        model = module.ModelNew(*case["sizes"])
        for ours, theirs in zip(model.state_dict().values(), case["weights"], strict=True):
            ours.copy_(theirs)
        with torch.no_grad():
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
        if name.startswith("kw_stage"):
            signature = {a: types.get(a, "constexpr") for a in kernel.arg_names}
            source = ASTSource(fn=kernel, signature=signature, constexprs={"BLOCK": 1024})
            built = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            found[name] = len(built.asm["ptx"])
    (folder / "compiled.json").write_text(json.dumps(found))


if __name__ == "__main__":
    for candidate in sorted(p for p in Path(sys.argv[2]).iterdir() if p.is_dir()):
        try:
            run(candidate) if sys.argv[1] == "run" else compile_kernels(candidate)
        except Exception:
            (candidate / "error.txt").write_text(traceback.format_exc())
