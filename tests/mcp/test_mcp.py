"""The MCP server, driven by the SDK's own client over stdio and over HTTP."""

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="the MCP SDK is not installed")

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from kernelwright.agents import hall, judging, opening, session
from kernelwright.agents.benches import Benches
from kernelwright.agents.hall import Hall, problem_files
from kernelwright.agents.limits import Turns
from kernelwright.agents.records import Description, Promoted, Submitted
from kernelwright.apps.cli.main import run as command
from kernelwright.apps.mcp.serving import serving
from kernelwright.core.run import Budget
from kernelwright.serve.settings import Settings
from kernelwright.testing.agents import SECRETS, WORDS, AgentEquip, text

TOKEN = "a-token-that-nobody-guesses"
SERVER = str(Path(__file__).with_name("fake_server.py"))
TASK = {"problem": "builtin:row_sum", "language": "cpp"}


@contextlib.asynccontextmanager
async def over_stdio(runs, delay_s=0.0):
    """A function that makes the one client that there can be."""
    params = StdioServerParameters(command=sys.executable, args=[SERVER, str(runs), str(delay_s)])

    @contextlib.asynccontextmanager
    async def client():
        with (runs.parent / "stderr.txt").open("a") as errors:
            async with Client(stdio_client(params, errlog=errors)) as made:
                yield made

    yield client


@contextlib.asynccontextmanager
async def over_http(runs, delay_s=0.0, **given):
    """A function that makes clients of one server."""
    made = Hall(Benches(AgentEquip(delay_s=delay_s), Turns()), runs, device="cpu", **given)
    settings = Settings(host="127.0.0.1", port=0, token=TOKEN, body_bytes=1 << 20)
    async with serving(made, settings) as url:

        @contextlib.asynccontextmanager
        async def client(token=TOKEN):
            headers = {"authorization": f"Bearer {token}"} if token else {}
            async with (
                create_mcp_http_client(headers=headers) as http,
                Client(streamable_http_client(url, http_client=http)) as made,
            ):
                yield made

        client.url = url
        yield client


@pytest.fixture(params=[over_stdio, over_http])
def transport(request):
    return request.param


async def asked(client, tool, **arguments):
    """The structured answer of a tool, which must be no error."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def refused(client, tool, **arguments):
    """What a tool says that refuses."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return "".join(part.text for part in answer.content)


def test_a_whole_session_over_either_transport(transport, tmp_path):
    async def work():
        async with transport(tmp_path / "runs") as connect, connect() as client:
            listed = await asked(client, "list_problems")
            assert "builtin:row_sum" in {p["problem"] for p in listed["problems"]}
            read = await asked(client, "read_problem", problem="builtin:row_sum")
            assert "class Model" in read["reference"]
            task = Description.model_validate(await asked(client, "start", **TASK, agent="me"))
            run = task.run
            found = await asked(client, "look_up", run=run, query="sketch")
            assert "a sketch" in found["passages"][0]["text"]
            built = await asked(client, "build", run=run, source=text("error: no"))
            assert built["builds"] is False
            made = []
            for parent, word in ((None, "error: no"), (1, "wrong"), (2, 0.5), (3, 2.0)):
                given = {} if parent is None else {"parent": parent}
                answer = await asked(
                    client, "submit", run=run, source=text(word, tunable=True), idea="An idea.",
                    input_tokens=100, output_tokens=20, cost_usd=0.01, **given,
                )  # fmt: skip
                made.append(Submitted.model_validate(answer))
            assert [m.verdict.outcome for m in made] == [
                "build_failed", "wrong_result", "passed", "passed",
            ]  # fmt: skip
            assert all(m.next for m in made)
            tuned = await asked(client, "tune", run=run, attempt=4, trials=2)
            assert len(tuned["trials"]) == 2
            limits = await asked(client, "profile", run=run, attempt=4)
            assert limits["bottleneck"] == "memory_bound"
            changed = await asked(client, "diff", run=run, old=3, new=4)
            assert "+// 2.0" in changed["text"]
            promoted = Promoted.model_validate(await asked(client, "promote", run=run))
            assert promoted.files == ("best.cpp",)
            result = await asked(client, "report", run=run)
            assert (result["outcome"], result["promoted"]) == ("passed", True)
            assert result["writer"] == "agent:me"
            return run

    run = asyncio.run(work())
    folder = tmp_path / "runs" / run
    assert {"report.html", "result.json", "best.cpp"} <= {p.name for p in folder.iterdir()}
    state = opening.read(folder).state
    assert {s.plan.writer for s in state.steps.values()} == {"agent:me", "tuner"}
    assert state.spent.cost_usd == pytest.approx(0.04)
    if transport is over_stdio:
        printed = (tmp_path / "stderr.txt").read_text()
        assert "this must not get into the protocol" in printed


def test_tools_say_what_they_take_and_give():
    async def work(tmp_path):
        async with over_http(tmp_path) as connect, connect() as client:
            return (await client.list_tools()).tools

    tools = {t.name: t for t in asyncio.run(work(Path("/tmp")))}
    assert set(tools) == {
        "list_problems", "read_problem", "start", "describe", "look_up", "build", "submit", "tune",
        "profile", "attempts", "attempt", "diff", "promote", "report",
    }  # fmt: skip
    for tool in tools.values():
        assert tool.description
        assert tool.output_schema["type"] == "object"
        for given in tool.input_schema["properties"].values():
            assert given.get("description"), tool.name
    assert tools["submit"].input_schema["properties"]["source"]["maxLength"] == 256 * 1024


def test_20_clients_at_once_each_get_their_own(tmp_path):
    async def one(connect, number):
        async with connect() as client:
            task = await asked(client, "start", **TASK, agent=f"a{number}")
            given = {"run": task["run"]}
            slow = await asked(client, "submit", source=text(1 + number / 10, note="x"), **given)
            fast = await asked(client, "submit", source=text(2 + number), parent=1, **given)
            assert slow["verdict"]["speedup"]["median"] == pytest.approx(1 + number / 10, rel=0.01)
            assert fast["best"] == {"step": 2, "speedup": pytest.approx(2 + number, rel=0.01)}
            return task["run"], number

    async def work():
        async with over_http(tmp_path, delay_s=0.002) as connect:
            return await asyncio.gather(*(one(connect, n) for n in range(20)))

    for run, number in asyncio.run(work()):
        state = opening.read(tmp_path / run).state
        assert {s.plan.writer for s in state.steps.values()} == {f"agent:a{number}"}
        assert [s.finished for s in state.steps.values()] == [True, True]


def test_a_client_that_dies_in_the_middle_loses_nothing(tmp_path):
    async def work():
        async with over_http(tmp_path, delay_s=0.3) as connect:
            async with connect() as first:
                run = (await asked(first, "start", **TASK))["run"]
                asking = asyncio.create_task(
                    first.call_tool("submit", {"run": run, "source": text(2.0)})
                )
                await asyncio.sleep(0.15)
            with contextlib.suppress(Exception, asyncio.CancelledError):
                asking.cancel()
                await asking
            async with connect() as second:
                again = await asked(second, "submit", run=run, source=text(2.0))
                assert (again["repeated"], again["verdict"]["outcome"]) == (1, "passed")
                return (await asked(second, "attempts", run=run))["attempts"]

    assert len(asyncio.run(work())) == 1


def test_a_server_that_is_killed_leaves_a_run_that_the_next_one_goes_on_with(tmp_path):
    runs = tmp_path / "runs"

    async def killed():
        async with over_stdio(runs, delay_s=30.0) as connect, connect() as client:
            await asked(client, "start", **TASK)
            given = {"run": "rows-1", "source": text(2.0)}
            asking = asyncio.create_task(client.call_tool("submit", given))
            await asyncio.sleep(0.3)
            os.kill(int(Path(f"{runs}.pid").read_text()), signal.SIGKILL)
            await asking

    async def after():
        async with over_stdio(runs) as connect, connect() as client:
            again = await asked(client, "submit", run="rows-1", source=text(2.0))
            return again["repeated"], again["verdict"]["outcome"]

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(killed())
    assert "losed" in str(_leaves(caught.value))
    assert not opening.read(runs / "rows-1").state.steps[1].finished
    assert asyncio.run(after()) == (1, "passed")


def test_a_client_that_closes_our_input_has_its_attempt_finished(tmp_path):
    async def work():
        async with over_stdio(tmp_path, delay_s=0.5) as connect, connect() as client:
            await asked(client, "start", **TASK)
            given = {"run": "rows-1", "source": text(2.0)}
            asking = asyncio.create_task(client.call_tool("submit", given))
            await asyncio.sleep(0.2)
        asking.cancel()

    asyncio.run(work())
    (step,) = opening.read(tmp_path / "rows-1").state.steps.values()
    assert step.evaluation is not None


def test_long_work_says_where_it_is_and_can_be_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "_TELL_EVERY_S", 0.05)
    said = []

    async def heard(progress, total, message):
        said.append((progress, message))

    async def work():
        async with over_http(tmp_path, delay_s=0.4) as connect, connect() as client:
            run = (await asked(client, "start", **TASK))["run"]
            first = asyncio.create_task(
                client.call_tool(
                    "submit", {"run": run, "source": text(2.0)}, progress_callback=heard
                )
            )
            await asyncio.sleep(0.1)
            waits = asyncio.create_task(
                client.call_tool("submit", {"run": run, "source": text(3.0)})
            )
            await asyncio.sleep(0.1)
            waits.cancel()
            await first
            return (await asked(client, "attempts", run=run))["attempts"]

    judged, withdrawn = asyncio.run(work())
    assert judged["outcome"] == "passed"
    assert withdrawn["summary"] == "It was withdrawn before it was judged."
    assert any("being judged" in message for _, message in said)


ESCAPES = [
    "../../etc/passwd",
    "/etc/passwd",
    "builtin:../../../etc/passwd",
    "rows-1/../..",
    ".",
    "",
]


def test_no_name_leads_out_of_what_there_is(tmp_path):
    (tmp_path / "mine.py").write_text("secret = 'of the host'\n")
    (tmp_path / "runs").mkdir()

    async def work():
        async with over_http(tmp_path / "runs") as connect, connect() as client:
            run = (await asked(client, "start", **TASK))["run"]
            shutil.copytree(tmp_path / "runs" / run, tmp_path / "outside")
            said = [await refused(client, "attempts", run="../outside")]
            for name in [*ESCAPES, str(tmp_path / "mine.py"), "file:mine.py", "mine"]:
                said.append(await refused(client, "read_problem", problem=name))
                said.append(await refused(client, "start", problem=name, language="cpp"))
                said.append(await refused(client, "attempts", run=name))
                said.append(await refused(client, "report", run=name))
            for name in ESCAPES:
                given = {"run": run, "source": text(2.0), "files": {name: "x"}}
                said.append(await refused(client, "submit", **given))
                said.append(await refused(client, "build", **given))
            said.append(await refused(client, "start", **TASK, agent="../x"))
            return said

    said = asyncio.run(work())
    assert not any("of the host" in one for one in said)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["rows-1"]
    assert opening.read(tmp_path / "runs" / "rows-1").state.steps == {}


def test_a_problem_of_the_users_is_known_by_its_name_alone(tmp_path):
    (tmp_path / "mine.py").write_text('"""My own."""\nclass Model: ...\n')
    files = problem_files([tmp_path])

    async def work():
        async with over_http(tmp_path / "runs", files=files) as connect, connect() as client:
            listed = (await asked(client, "list_problems"))["problems"]
            read = await asked(client, "read_problem", problem="mine")
            await asked(client, "start", problem="mine", language="cpp")
            return listed[0], read["reference"]

    listed, reference = asyncio.run(work())
    assert listed == {"problem": "mine", "title": "My own."}
    assert "class Model" in reference


def test_what_is_too_large_or_too_much_is_refused_and_the_server_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_CALLS_A_MINUTE", 20)
    monkeypatch.setattr(session, "_BUILDS_A_MINUTE", 4)
    monkeypatch.setattr(hall, "_STARTS_A_MINUTE", 6)

    async def work():
        async with over_http(tmp_path) as connect, connect() as client:
            run = (await asked(client, "start", **TASK))["run"]
            said = await refused(client, "submit", run=run, source="x" * 300_000)
            assert "at most 262144 characters" in said
            assert len(said) < 1000
            await refused(client, "submit", run=run, source=text(1), idea="x" * 501)
            await refused(client, "submit", run=run, source=text(1), cost_usd=-1.0)
            await refused(client, "submit", run=run, source=text(1), parent=10**30)
            many = {f"a{n}.h": "" for n in range(17)}
            await refused(client, "build", run=run, source=text(1), files=many)
            headers = {"authorization": f"Bearer {TOKEN}"}
            async with create_mcp_http_client(headers=headers) as http:
                with contextlib.suppress(httpx2.TransportError):  # it is not read to its end
                    answer = await http.post(connect.url, content=b" " * (2 << 20))
                    assert answer.status_code == 413
            async with connect() as other:
                flood = [other.call_tool("attempts", {"run": run}) for _ in range(30)]
                answers = await asyncio.gather(*flood, return_exceptions=True)
                errors = [a for a in answers if not isinstance(a, Exception) and a.is_error]
                assert any("Wait" in e.content[0].text or "Too many" in e.content[0].text
                           for e in errors)  # fmt: skip
                starts = [other.call_tool("start", TASK) for _ in range(8)]
                made = await asyncio.gather(*starts)
                assert any("runs are made in a minute" in m.content[0].text for m in made)
                builds = [
                    await other.call_tool("build", {"run": run, "source": text(n)})
                    for n in range(6)
                ]
                assert "builds are made in a minute" in builds[-1].content[0].text
                return await asked(other, "list_problems")

    assert asyncio.run(work())["problems"]


def test_no_tool_tells_what_is_hidden(tmp_path):
    async def told(client, word):
        run = (await asked(client, "start", **TASK))["run"]
        calls = [
            ("submit", {"source": text(word, tunable=True)}), ("build", {"source": text(word)}),
            ("describe", {}), ("attempts", {}), ("attempt", {"attempt": 1}),
            ("profile", {"attempt": 1}), ("tune", {"attempt": 1, "trials": 1}),
            ("diff", {"old": 1, "new": 1}), ("look_up", {"query": "hidden workload sizes"}),
            ("look_up", {"query": ""}), ("promote", {}), ("report", {}),
        ]  # fmt: skip
        said = [await client.call_tool(name, {"run": run, **given}) for name, given in calls]
        return "".join(one.model_dump_json() for one in said)

    async def work():
        async with over_http(tmp_path) as connect, connect() as client:
            return {word: await told(client, word) for word in (*WORDS, 2.0)}

    for word, said in asyncio.run(work()).items():
        assert not any(secret in said for secret in SECRETS), word


def test_without_the_token_nothing_answers(tmp_path):
    async def work(token):
        async with over_http(tmp_path) as connect:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            async with create_mcp_http_client(headers=headers) as http:
                statuses = [(await http.post(connect.url, json={})).status_code]
                statuses += [(await http.get(connect.url)).status_code]
            with pytest.raises(ExceptionGroup):
                async with connect(token):
                    pass
            return set(statuses)

    for token in (None, "wrong", TOKEN[:-1]):
        assert asyncio.run(work(token)) == {401}


def _leaves(error):
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


def test_the_budget_of_the_server_is_the_most_that_a_run_has(tmp_path):
    async def work():
        allowed = Budget(max_attempts=2)
        async with over_http(tmp_path, budget=allowed) as connect, connect() as client:
            more = await asked(client, "start", **TASK, max_attempts=99)
            less = await asked(client, "start", **TASK, max_attempts=1)
            assert (more["left"]["attempts"], less["left"]["attempts"]) == (2, 1)
            await asked(client, "submit", run=less["run"], source=text(2.0))
            said = await refused(client, "submit", run=less["run"], source=text(3.0))
            assert "1 attempts is used up" in said
            assert "promote" in said

    asyncio.run(work())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--http", "--host", "0.0.0.0"], "token is required"),
        (["--problem", "nothing.py"], "no file nothing.py"),
        (["--judge", "batch"], "kernelwright agent init"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("KERNELWRIGHT_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert command(["mcp", *words]) == 2
    told = capsys.readouterr()
    assert (told.out, said in told.err) == ("", True)


def test_without_the_sdk_it_says_what_to_install(capsys, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mcp" else known(name)
    )
    assert command(["mcp"]) == 2
    assert "pip install 'kernelwright[mcp]'" in capsys.readouterr().err


def test_its_help_loads_neither_torch_nor_the_sdk():
    code = (
        "import sys\nfrom kernelwright.apps.cli.main import run\nrun(['mcp', '--help'])\n"
        "run(['agent', '--help'])\nsys.exit(bool({'torch', 'mcp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_over_http_it_stops_in_order_when_it_is_told_to(tmp_path):
    code = "from kernelwright.apps.cli.main import main; main()"
    words = ["mcp", "--http", "--port", "0", "--runs", str(tmp_path), "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as running:  # fmt: skip
        said = running.stderr.readline()
        assert re.search(r"http://127\.0\.0\.1:\d+/mcp", said)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        assert running.stderr.read() == "Stopped.\n"
