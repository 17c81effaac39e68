"""The table of names: what can be asked for by name, and where it lives, loaded when asked.

A plug-in adds a row by an entry point of the group ``kernelwright.<kind>``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Literal

from kernelwright.core.errors import UnknownName

Kind = Literal["language", "strategy", "writer", "model"]

# Providers of language models that one adapter reaches; some need a package of their own.
_HOSTED = (
    "alibaba", "anthropic", "azure", "bedrock", "cerebras", "cohere", "deepseek", "fireworks",
    "google", "google-cloud", "groq", "heroku", "huggingface", "litellm", "mistral",
    "moonshotai", "nebius", "ollama", "openai", "openai-chat", "openai-responses", "openrouter",
    "ovhcloud", "sambanova", "together", "vercel", "vllm", "xai", "zai",
)  # fmt: skip

TABLE: dict[Kind, dict[str, str]] = {
    "language": {
        "cpp": "kernelwright.languages.cpp:Cpp",
        "triton": "kernelwright.languages.triton:Triton",
        "cuda": "kernelwright.languages.cuda:Cuda",
        "python": "kernelwright.languages.python:Python",
        "torch_extension": "kernelwright.languages.torch_extension:TorchExtension",
    },
    "strategy": {
        "best_of_n": "kernelwright.search.best_of_n:BestOfN",
        "refine": "kernelwright.search.refine:Refine",
        "beam": "kernelwright.search.beam:Beam",
        "evolve": "kernelwright.search.evolve:Evolve",
        "tree": "kernelwright.search.tree:Tree",
        "bandit": "kernelwright.search.bandit:Bandit",
        "from_outside": "kernelwright.search.from_outside:FromOutside",
    },
    "writer": {
        "library": "kernelwright.generate.listed_writer:LibraryWriter",
        "sketch": "kernelwright.generate.listed_writer:SketchWriter",
        "compiler": "kernelwright.generate.listed_writer:CompilerWriter",
        "llm": "kernelwright.generate.llm_writer:LlmWriter",
        "tools": "kernelwright.generate.tool_writer:ToolWriter",
        "team": "kernelwright.generate.team:Team",
        "tuner": "kernelwright.generate.tuner:Tuner",
    },
    "model": {
        "scripted": "kernelwright.llm.scripted:open_scripted",
        **dict.fromkeys(_HOSTED, "kernelwright.llm.hosted:open_hosted"),
    },
}


def known(kind: Kind) -> list[str]:
    """Every name of `kind`, plug-ins included, sorted."""
    plugins = {point.name for point in entry_points(group=f"kernelwright.{kind}")}
    return sorted(plugins | set(TABLE[kind]))


def load(kind: Kind, name: str) -> Callable[..., Any]:
    """The class or function behind `name`.

    Raises:
        UnknownName: nothing of this kind has this name.
    """
    if name in TABLE[kind]:
        module, _, attribute = TABLE[kind][name].partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=f"kernelwright.{kind}", name=name):
        plugin: Callable[..., Any] = point.load()
        return plugin
    raise UnknownName.of(kind, name, known(kind))
