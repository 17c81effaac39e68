"""The writers that ask models, as a run makes them."""

import asyncio
import json

import pytest

from kernelwright.core.candidate import Plan
from kernelwright.core.errors import ProblemError, SpecError
from kernelwright.core.protocols import Assignment
from kernelwright.core.run import RunSpec, ToolBudget
from kernelwright.run.equipment import furnished
from kernelwright.run.folder import RunFolder
from kernelwright.run.model_writers import check_models
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.evaluators import ScriptedEvaluator, row_problem
from kernelwright.testing.judges import worded


class NoReference:
    def trace(self):
        raise ProblemError("Nothing is traced here.")


@pytest.fixture
def script(tmp_path):
    def written(name, *lines):
        path = tmp_path / name
        path.write_text(json.dumps(lines))
        return f"scripted:{path}"

    return written


def writers(folder, **settings):
    """The writers of a run whose verdicts come from another machine."""
    spec = RunSpec(problem="rows.py", languages=("cpp",), device="cpu", **settings)
    parts = furnished(spec, row_problem(), NoReference(), ScriptedEvaluator(), ((), ()))
    return parts.writers(MemoryStore(), RunFolder.claim(folder))


def proposed(writer, name, step):
    plan = Plan(kind="draft", language="cpp", writer=name)
    given = Assignment(step=step, plan=plan, problem=row_problem())
    return asyncio.run(writer.propose(given))


def test_roles_that_name_the_same_model_share_it(script, tmp_path):
    models = {"writer": script("small", ""), "coder": script("large", "")}
    made = writers(tmp_path / "run", writers=("team", "tools", "llm"), models=models)
    team = made["team"]
    assert team.planner is team.critic is made["tools"].model is made["llm"].model
    assert team.coder is not team.planner


def test_a_script_is_read_in_the_order_of_the_conversation(script, tmp_path):
    program = f"```cpp\n{worded(2.0)}```"
    models = {"writer": script("all", "Action: unroll", program, "Call: look_up unroll", program)}
    made = writers(tmp_path / "run", writers=("team", "tools"), models=models)
    calls = [
        (call.role, call.reply is not None)
        for step, name in enumerate(("team", "tools"))
        for call in proposed(made[name], name, step).model_calls
    ]
    assert [role for role, _ in calls] == ["planner", "coder", "writer", "writer"]
    assert len(list((tmp_path / "run" / "replies").iterdir())) == 4


def test_where_the_judge_is_elsewhere_the_tools_are_fewer(script, tmp_path):
    models = {"writer": script("all", "")}
    budget = ToolBudget(max_calls=2, max_judge_calls=1)
    made = writers(
        tmp_path / "run", writers=("tools",), models=models, tool_budget=budget, judge="http://x"
    )
    assert made["tools"].toolbox.missing == ("build", "profile")
    assert made["tools"].budget == budget


def test_every_model_is_tried_before_anything_is_started(script):
    models = {"writer": script("all", ""), "critic": "scripted:nowhere.json"}
    spec = RunSpec(problem="rows.py", writers=("team",), models=models)
    with pytest.raises(SpecError, match=r"nowhere\.json"):
        check_models(spec)
