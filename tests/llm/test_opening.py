"""Opening by name: what exists, what is said when it does not, and what is imported for it."""

import subprocess
import sys

import pytest
from pydantic_ai.providers import infer_provider_class

from kernelwright.core import names
from kernelwright.core.errors import SpecError, UnknownName
from kernelwright.core.run import ModelSettings
from kernelwright.llm.address import Address
from kernelwright.llm.opening import open_model
from kernelwright.llm.scripted import ScriptedModel


def test_an_unknown_provider_gets_a_near_name():
    with pytest.raises(UnknownName, match=r"No model provider is called 'antropic'.*'anthropic'"):
        open_model("antropic:claude")


@pytest.mark.parametrize("name", ["gpt-5", "", "openai:", ":gpt-5", "open ai:x"])
def test_a_name_of_another_form_is_shown_the_right_one(name):
    with pytest.raises(SpecError, match="Write provider:model"):
        open_model(name)


@pytest.mark.parametrize("url", ["http://u:geheim@h/v1", "https://h/v1?api_key=geheim"])
def test_a_key_in_the_address_is_refused_and_not_repeated(url):
    with pytest.raises(SpecError, match="may not hold a key") as caught:
        open_model(f"openai:m@{url}")
    assert "geheim" not in str(caught.value)


def test_a_model_may_have_colons_and_at_signs_in_its_own_name():
    assert Address.parse("google:gemini@20260101") == Address(
        provider="google", model="gemini@20260101"
    )
    assert Address.parse("Ollama:qwen3:8b").provider == "ollama"


def test_every_provider_of_the_table_is_one_that_the_library_knows():
    hosted = [n for n, where in names.TABLE["model"].items() if where.endswith(":open_hosted")]
    assert len(hosted) > 20
    for name in hosted:
        try:
            infer_provider_class(name)
        except ImportError:
            continue  # known, and needs a package of its own


def test_opening_by_name_imports_no_providers_library_until_one_is_asked_for(tmp_path):
    script = tmp_path / "s.json"
    script.write_text('["hello"]')
    code = (
        "import sys; from kernelwright.llm.opening import open_model; "
        "open_model(sys.argv[1]); import kernelwright.generate.llm_writer; "
        "sys.exit([m for m in ('pydantic_ai', 'openai', 'torch') if m in sys.modules] or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"scripted:{script}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_is_opened_by_its_path(tmp_path):
    script = tmp_path / "script.json"
    script.write_text('["one", "two"]')
    model = open_model(f"scripted:{script}")
    assert isinstance(model, ScriptedModel)
    assert model.script == ["one", "two"]


@pytest.mark.parametrize("content", [None, "{", '{"a": 1}', "[1]"])
def test_a_script_that_is_none_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "script.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError, match=r"script\.json"):
        open_model(f"scripted:{path}")


def test_a_replay_without_its_folder_is_refused_before_the_run(tmp_path):
    with pytest.raises(SpecError, match="needs the folder"):
        open_model("openai:x", ModelSettings(replay=True))
    with pytest.raises(SpecError, match="no recorded replies"):
        open_model("openai:x", ModelSettings(replay=True, replies=str(tmp_path / "none")))


def test_a_replay_needs_neither_key_nor_package(tmp_path):
    settings = ModelSettings(replay=True, replies=str(tmp_path))
    assert open_model("groq:llama", settings).name == "groq:llama"
