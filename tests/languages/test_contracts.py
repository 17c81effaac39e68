"""Every language keeps the contract; what is its own is tested in its own file."""

import pytest

from kernelwright.core import names
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.cuda import Cuda
from kernelwright.languages.python import Python
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.survey import survey
from kernelwright.languages.torch_extension import TorchExtension
from kernelwright.languages.triton import Triton
from kernelwright.testing.languages import PROBLEM, LanguageContract, NullLanguage

MODULE = "class ModelNew:\n    pass\n"


class TestCpp(LanguageContract):
    @pytest.fixture
    def language(self):
        return Cpp()

    @pytest.fixture
    def candidate(self):
        text = "// tunable: ROWS = 4 in {1, 4, 16}\nvoid kernel() {}"
        return candidate_from_text(PROBLEM, text, "cpp")


class TestCuda(LanguageContract):
    @pytest.fixture
    def language(self):
        return Cuda()

    @pytest.fixture
    def candidate(self):
        text = "// tunable: ROWS = 4 in {1, 4, 16}\nvoid launch() {}"
        return candidate_from_text(PROBLEM, text, "cuda")


class TestTriton(LanguageContract):
    @pytest.fixture
    def language(self):
        return Triton()

    @pytest.fixture
    def candidate(self):
        text = f"# tunable: ROWS = 4 in {{1, 4, 16}}\nROWS = 4\n{MODULE}"
        return candidate_from_text(PROBLEM, text, "triton")


class TestPython(LanguageContract):
    @pytest.fixture
    def language(self):
        return Python()

    @pytest.fixture
    def candidate(self):
        return candidate_from_text(PROBLEM, MODULE, "python")


class TestTorchExtension(LanguageContract):
    @pytest.fixture
    def language(self):
        return TorchExtension()

    @pytest.fixture
    def candidate(self):
        return candidate_from_text(PROBLEM, MODULE, "torch_extension")


class TestNullLanguage(LanguageContract):
    @pytest.fixture
    def language(self):
        return NullLanguage()

    @pytest.fixture
    def candidate(self):
        text = f"# tunable: ROWS = 4 in {{1, 4, 16}}\nROWS = 4\n{MODULE}"
        return candidate_from_text(PROBLEM, text, "triton")


def test_every_language_is_known_by_its_own_name():
    for name in names.known("language"):
        assert names.load("language", name)().name == name


def test_the_survey_has_every_language_and_what_it_lacks():
    found = {status.name: status for status in survey()}
    assert set(found) == set(names.known("language"))
    for name, status in found.items():
        language = names.load("language", name)()
        assert (status.build, status.run) == (language.missing("build"), language.missing("run"))
        assert status.ready == (status.build is status.run is status.time is None)
