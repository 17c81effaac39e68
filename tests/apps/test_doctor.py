import json

from kernelwright.apps.cli import doctor
from kernelwright.apps.cli.main import run


def test_it_names_every_language_and_the_isolation(capsys):
    assert run(["doctor"]) in (0, 1)
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("cpp", "triton", "cuda", "isolation"))


def test_what_is_missing_is_a_sentence(capsys):
    run(["doctor", "--json"])
    found = doctor.Findings.model_validate(json.loads(capsys.readouterr().out))
    sentences = [s for language in found.languages for s in language.missing.values()]
    assert all(sentence.endswith(".") for sentence in sentences)
    assert all(language.ready == (not language.missing) for language in found.languages)


def test_json_is_all_there_is_on_stdout(capsys):
    run(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["version"]
