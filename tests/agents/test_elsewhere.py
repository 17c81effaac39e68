"""`--judge URL`: what is asked of a service, what comes back, and what does not fit."""

import asyncio
import contextlib

import pytest

from kernelwright.agents.elsewhere import Elsewhere, equip
from kernelwright.core.errors import FaultError, SpecError, UsageError, WorkerError
from kernelwright.evaluate import judge as judge_module
from kernelwright.languages.reading import candidate_from_text
from kernelwright.run import equipment
from kernelwright.run.spec import load_spec
from kernelwright.serve.client import Client
from kernelwright.serve.ledger import Ledger
from kernelwright.serve.server import serving
from kernelwright.serve.service import Service
from kernelwright.serve.settings import Settings
from kernelwright.testing.evaluators import TILE, row_problem
from kernelwright.testing.judges import FakeJudges, worded

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def judges():
    return FakeJudges()


@pytest.fixture
def asked(tmp_path, judges, monkeypatch):
    """The verdict of a service of paper on a candidate."""
    monkeypatch.setattr("kernelwright.agents.elsewhere.EVALUATOR", "scripted")
    settings = Settings(host="127.0.0.1", port=0, token=TOKEN, grace_s=5.0)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(tmp_path))
        service = Service(ledger, judges, allow_problems=True)
        url = stack.enter_context(serving(service, settings))

        def ask(candidate, *, token=TOKEN, device="cpu", origin="model.py"):
            client = Client(url, token=token, patience_s=5.0)
            there = Elsewhere(client, row_problem(), origin, device)
            return asyncio.run(there.evaluate(candidate, "search"))

        ask.url = url
        yield ask


def made(word, **changes):
    return candidate_from_text(row_problem(), worded(word), "cpp").model_copy(update=changes)


def test_a_verdict_is_that_of_the_candidate_that_was_asked_about(asked, judges):
    candidate = made(2.0)
    found = asked(candidate)
    assert (found.candidate_id, found.outcome.kind) == (candidate.id, "passed")


def test_settings_are_written_into_the_text(asked, judges):
    text = f"// 2.0\n// tunable: TILE = 1 in {{1, 2, 4, 8, 16}}\n{worded(1)}"
    source = made(1).source.model_copy(update={"files": {"kernel.cpp": text}})
    tuned = made(1, source=source, tunables=(TILE,), settings={"TILE": 4})
    found = asked(tuned)
    assert found.candidate_id == tuned.id
    assert judges.opened[0][1].judged == ["2.0"]


def test_a_file_of_the_users_goes_along_as_text(asked, judges):
    asked(made(2.0), origin="/home/me/model.py")
    assert judges.opened[0][0].text == row_problem().reference.text


def test_a_built_in_problem_is_asked_for_by_its_name_while_that_means_the_same(asked, judges):
    asked(made(2.0), origin="builtin:softmax")
    assert judges.opened[0][0].text == row_problem().reference.text


@pytest.mark.parametrize(
    ("word", "given", "error", "said"),
    [
        (2.0, {"token": "wrong-token-wrong"}, UsageError, "refused .401."),
        (2.0, {"device": "cuda"}, UsageError, "Start it with --device cuda"),
        ("bug", {}, WorkerError, "no verdict"),
        ("unavailable", {}, UsageError, "There is no compiler"),
    ],
)
def test_what_does_not_fit_is_a_sentence(asked, word, given, error, said):
    with pytest.raises(error, match=said):
        asked(made(word), **given)


def test_another_version_of_the_judge_is_refused(asked, monkeypatch):
    monkeypatch.setattr("kernelwright.agents.elsewhere.EVALUATOR", judge_module.EVALUATOR)
    with pytest.raises(UsageError, match="same version"):
        asked(made(2.0))


def test_more_than_one_file_is_refused(asked):
    source = made(2.0).source
    two = source.model_copy(update={"files": {**source.files, "a.h": ""}})
    with pytest.raises(UsageError, match="takes one file"):
        asked(made(2.0, source=two))


def test_nobody_there_is_a_fault():
    there = Elsewhere(Client("http://127.0.0.1:9", patience_s=0.1), row_problem(), "x", "cpu")
    with pytest.raises(FaultError, match="cannot be reached"):
        asyncio.run(there.evaluate(made(2.0), "search"))


def test_a_run_with_a_judge_elsewhere_needs_no_gpu_here():
    spec = load_spec(
        given={"problem": "builtin:row_sum", "judge": "http://gpu:8765", "languages": ["cuda"]}
    )
    assert (spec.device, spec.languages) == ("cuda", ("cuda",))
    with pytest.raises(SpecError, match="has an address"):
        load_spec(given={"problem": "builtin:row_sum", "judge": "gpu"})
    with pytest.raises(SpecError, match="The judge of this run is"):
        equipment.equip(spec, spec.problem).__enter__()


def test_the_parts_have_the_problem_and_its_sketches_and_judge_there(asked, judges, monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_JUDGE_TOKEN", TOKEN)
    given = {"problem": "builtin:row_sum", "judge": asked.url, "languages": ["cpp"]}
    spec = load_spec(given=given)
    with equip(spec, spec.problem) as parts:
        assert parts.problem.id.startswith("row_sum")
        assert parts.build is None
        drafts = parts.sketches("cpp").candidates
        verdict = asyncio.run(parts.evaluator.evaluate(drafts[0], "search"))
    # As a session asks for it, which knows the text alone.
    with equip(spec, parts.problem.reference) as parts:
        asyncio.run(parts.evaluator.evaluate(drafts[0], "search"))
    assert verdict.candidate_id == drafts[0].id
    assert [origin for origin, _ in judges.opened] == ["builtin:row_sum"]
    backward = spec.model_copy(update={"direction": "backward"})
    with pytest.raises(SpecError, match="DIRECTION"), equip(backward, spec.problem):
        pass
