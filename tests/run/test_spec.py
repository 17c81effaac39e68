"""Settings are checked before anything is started, and each fault is a sentence."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.errors import SpecError, Unavailable, UnknownName
from kernelwright.core.run import Budget, RunSpec
from kernelwright.run.spec import completed, device_of, load_spec, models_of, to_toml

MODEL = {"models": {"writer": "openai:gpt"}}


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_a_file_says_everything_that_python_can(file):
    path = file(
        'problem = "p.py"\nstrategy = "best_of_n"\nwidth = 2\nlanguages = ["cpp"]\n'
        "[budget]\nmax_attempts = 5\nmax_cost_usd = 1.5\n"
    )
    assert load_spec(path) == load_spec(
        given={
            "problem": "p.py",
            "strategy": "best_of_n",
            "width": 2,
            "languages": ["cpp"],
            "budget": {"max_attempts": 5, "max_cost_usd": 1.5},
        }
    )


def test_what_is_given_goes_over_the_file_and_none_says_nothing(file):
    path = file('problem = "p.py"\nseed = 3\n[budget]\nmax_attempts = 5\nmax_wall_s = 9\n')
    given = {"seed": None, "width": 4, "budget": {"max_attempts": 7, "max_wall_s": None}}
    spec = load_spec(path, given)
    assert (spec.seed, spec.width) == (3, 4)
    assert spec.budget == Budget(max_attempts=7, max_wall_s=9)


def test_a_limit_can_be_lifted(file):
    path = file('problem = "p.py"\n[budget]\nmax_attempts = "none"\n')
    assert load_spec(path).budget.max_attempts is None


def test_a_model_brings_its_writer_with_it():
    assert load_spec(given={"problem": "p.py", **MODEL}).writers == ("library", "sketch", "llm")


@pytest.mark.parametrize("role", ["planner", "coder", "critic"])
def test_a_model_for_a_role_of_the_team_brings_the_team_with_it(role):
    given = {"problem": "p.py", "models": {"writer": "openai:gpt", role: "openai:large"}}
    made = load_spec(given=given)
    assert made.writers == ("library", "sketch", "team")
    others = dict.fromkeys(("planner", "coder", "critic"), "openai:gpt")
    assert models_of(made, "team") == others | {role: "openai:large"}


def test_a_team_whose_roles_all_have_models_needs_no_other():
    models = {role: f"openai:{role}" for role in ("planner", "coder", "critic")}
    assert models_of(load_spec(given={"problem": "p.py", "models": models}), "team") == models


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("problem = ", r"run\.toml is not valid TOML: .*end of document"),
        ('problem = "p.py"\nwdith = 2\n', r"No setting is called 'wdith'. Did you mean 'width'\?"),
        (
            'problem = "p.py"\n[budget]\nmax_attemps = 2\n',
            r"'max_attemps'. Did you mean 'max_attempts'\? \(in .*run\.toml\.budget\)",
        ),
        ("width = 2\n", r"does not say 'problem'"),
        ('problem = "p.py"\nwidth = 99\n', r"'width' in .* cannot be 99: .* 16"),
        ('problem = "p.py"\nbudget = 3\n', r"'budget' in .* cannot be 3"),
        ('problem = "p.py"\n[budget]\nmax_wall_s = nan\n', r"'budget.max_wall_s'"),
        ('problem = "p.py"\nstrategy = "refin"\n', r"Did you mean 'refine'"),
        ('problem = "p.py"\nlanguages = ["c++"]\n', r"No language is called 'c\+\+'"),
        ('problem = "p.py"\nwriters = ["skecth"]\n', r"Did you mean 'sketch'"),
        ('problem = "p.py"\nwriters = ["tuner"]\n', r"No writer is called 'tuner'"),
        ('problem = "p.py"\nwriters = []\n', r"No writer is named"),
        ('problem = "p.py"\nwriters = ["llm"]\n', r"'llm' needs a model. Name one with --model"),
        ('problem = "p.py"\nmodels.writer = "gpt"\n', r"'gpt' does not name a model"),
        ('problem = "p.py"\nmodels.writer = "opena:gpt"\n', r"Did you mean 'openai'"),
        ('problem = "p.py"\nmodels.wirter = "openai:gpt"\n', r"Did you mean 'writer'"),
        (
            'problem = "p.py"\nwriters = ["sketch"]\nmodels.writer = "openai:gpt"\n',
            r"would not be used",
        ),
        (
            'problem = "p.py"\nwriters = ["llm"]\nmodels.writer = "openai:gpt"\n'
            'models.critic = "openai:gpt"\n',
            r"'openai:gpt' would not be used: .* as 'critic'. Add one",
        ),
        (
            'problem = "p.py"\nwriters = ["team"]\nmodels.planner = "openai:gpt"\n',
            r"'team' needs a model. .* nobody is coder or critic",
        ),
        (
            'problem = "p.py"\nwriters = ["team"]\n[models]\nwriter = "openai:gpt"\n'
            'planner = "openai:a"\ncoder = "openai:b"\ncritic = "openai:c"\n',
            r"'openai:gpt' would not be used: .* as 'writer'",
        ),
        ('problem = "p.py"\nmodels.crtic = "openai:gpt"\n', r"Did you mean 'critic'"),
        (
            'problem = "p.py"\nlanguages = ["cpp", "cuda"]\n',
            r"do not go together",
        ),
        ('problem = "p.py"\nlanguages = ["cpp"]\ndevice = "cuda"\n', r"do not go together"),
    ],
)
def test_a_fault_in_the_settings_is_a_sentence(file, text, said):
    with pytest.raises((SpecError, UnknownName), match=said):
        load_spec(file(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"no file .*gone\.toml"):
        load_spec(tmp_path / "gone.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(path)


def test_a_gpu_that_is_asked_for_and_not_there_is_unavailable(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(Unavailable, match="no CUDA device"):
        load_spec(given={"problem": "p.py", "device": "cuda"})


def test_without_a_gpu_a_run_is_in_cpp_on_the_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    spec = load_spec(given={"problem": "p.py"})
    assert (spec.languages, spec.device) == (("cpp",), "cpu")


def test_one_of_several_gpus_is_kept_as_it_was_said(monkeypatch):
    monkeypatch.setattr("kernelwright.run.spec.cuda_devices", lambda: 2)
    spec = completed(RunSpec(problem="p.py", languages=("python",), device="cuda:1"))
    assert (spec.device, device_of(spec)) == ("cuda:1", "cuda")
    with pytest.raises(SpecError, match="do not go together"):
        device_of(RunSpec(problem="p.py", languages=("cpp",), device="cuda:1"))


def test_what_is_no_device_is_no_setting():
    with pytest.raises(SpecError, match="'device'"):
        load_spec(given={"problem": "p.py", "device": "gpu"})


def test_a_language_for_the_cpu_decides_the_device():
    assert device_of(RunSpec(problem="p.py", languages=("cpp",))) == "cpu"


words = st.text(max_size=12)
specs = st.builds(
    RunSpec,
    problem=words,
    strategy=words,
    writers=st.lists(words, max_size=2).map(tuple),
    models=st.dictionaries(words, words, max_size=2),
    languages=st.lists(words, max_size=2).map(tuple),
    budget=st.builds(
        Budget,
        max_attempts=st.none() | st.integers(1, 99),
        max_wall_s=st.none() | st.floats(0.1, 1e9),
        max_device_s=st.none() | st.floats(0.1, 1e9),
        max_cost_usd=st.none() | st.floats(0, 1e9),
        target_speedup=st.none() | st.floats(0.1, 1e3),
        min_headroom=st.none() | st.floats(1, 1e3),
    ),
    seed=st.integers(-(2**62), 2**62),
)


@given(spec=specs)
def test_a_saved_file_reads_back_as_the_same_settings(spec):
    values = tomllib.loads(to_toml(spec))
    budget = {k: None if v == "none" else v for k, v in values.get("budget", {}).items()}
    assert RunSpec.model_validate({**values, "budget": budget}) == spec


def test_the_direction_is_a_setting_and_goes_back_into_the_file():
    spec = completed(RunSpec(problem="builtin:softmax", direction="backward"))
    assert 'direction = "backward"' in to_toml(spec)
    assert "direction" not in to_toml(completed(RunSpec(problem="builtin:softmax")))
    with pytest.raises(SpecError, match="'direction' in the settings cannot be \"sideways\""):
        load_spec(None, {"problem": "builtin:softmax", "direction": "sideways"})


@pytest.mark.parametrize(
    ("strategy", "writers"),
    [
        ("from_outside", ["sketch"]),
        ("from_outside", ["agent:me", "sketch"]),
        ("refine", ["agent:me"]),
        ("refine", ["agent:me", "sketch"]),
    ],
)
def test_an_agent_leads_a_run_or_has_no_part_in_it(strategy, writers):
    with pytest.raises(SpecError, match="a coding agent leads"):
        load_spec(given={"problem": "p.py", "strategy": strategy, "writers": writers})


def test_a_run_that_an_agent_leads_is_a_spec_like_any_other(file):
    spec = load_spec(given={"problem": "p.py", "strategy": "from_outside", "writers": ["agent:me"]})
    assert load_spec(file(to_toml(spec))) == spec
