"""`serve`: what is wrong before it listens, and, slowly, a real server under load."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernelwright.apps.cli import serve as serve_command
from kernelwright.apps.cli.main import run
from kernelwright.serve.client import Client
from kernelwright.serve.records import Submission

SUM = """
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) sum += (double)x[row * dim + i] * x[row * dim + i];
        out[row] = (float)sum;
    }
}
"""


def one_sentence(capsys):
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


def test_beyond_this_machine_it_does_not_start_without_a_token(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KERNELWRIGHT_TOKEN", raising=False)
    assert run(["serve", "--host", "0.0.0.0", "--folder", str(tmp_path / "kept")]) == 2
    assert "token is required" in one_sentence(capsys)
    assert not (tmp_path / "kept").exists()


def test_strangers_candidates_need_a_sandbox(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_TOKEN", "0123456789abcdef")
    monkeypatch.setattr(serve_command, "isolation_level", lambda: ("process", "No bubblewrap."))
    assert run(["serve", "--host", "0.0.0.0", "--folder", str(tmp_path / "kept")]) == 2
    assert "cannot be sandboxed here: No bubblewrap." in one_sentence(capsys)


def test_without_the_web_framework_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fastapi" else known(name)
    )
    assert run(["serve", "--folder", str(tmp_path / "kept")]) == 2
    assert "pip install 'kernelwright[serve]'" in one_sentence(capsys)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["serve", "--folder", str(tmp_path / "file"), "--port", "0"]) == 2
    assert "--folder" in one_sentence(capsys)


@contextlib.contextmanager
def server(folder, *more):
    code = "from kernelwright.apps.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--folder", str(folder), *more]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            said = running.stderr.readline()
            yield running, re.search(r"http://[\d.:]+\d", said)[0]
        finally:
            running.kill()


def test_it_says_where_it_listens_and_stops_when_it_is_told_to(tmp_path):
    with server(tmp_path) as (running, url):
        assert url.startswith("http://127.0.0.1:")
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        assert running.stderr.read() == "Stopped.\n"


@pytest.mark.slow
def test_200_clients_at_once_get_their_own_verdict_from_a_real_judge(tmp_path):
    """A tenth are right, the others do not build or are wrong, and each text is new."""

    def text(number):
        if number % 10 == 0:
            return f"// {number // 20}\n{SUM}"
        if number % 2:
            return f"// {number}\n{SUM.replace('double sum', 'doubt sum')}"
        return f"// {number}\n{SUM.replace('sum +=', 'sum -=')}"

    def expected(number):
        if number % 10 == 0:
            return "passed"
        return "build_failed" if number % 2 else "wrong_result"

    with server(tmp_path, "--queue", "64") as (running, url), ThreadPoolExecutor(200) as pool:
        client = Client(url, patience_s=1200)
        asked = [Submission(problem="builtin:row_sum", candidate=text(n)) for n in range(200)]
        answers = list(pool.map(client.evaluate, asked))
        assert [a.state for a in answers] == ["judged"] * 200
        assert len({a.id for a in answers}) == 200
        found = [a.evaluation.outcome.kind for a in answers]
        assert found == [expected(n) for n in range(200)]
        assert all(answers[n].speedup for n in range(0, 200, 10))
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
