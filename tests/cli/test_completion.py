"""`gradsense completion`: what a shell offers."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.conftest import Run


def offered(script: str, *words: str) -> list[str]:
    """What bash offers for the last of `words`."""
    typed = " ".join(words)
    program = (
        f"{script}\nCOMP_WORDS=({typed})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\nCOMP_LINE='{typed}'\n"
        "_shtab_gradsense\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_bash_offers_options_values_and_rules(run: Run) -> None:
    script = run("completion", "bash").out
    assert "--baseline" in offered(script, "gradsense", "check", "--b")
    assert offered(script, "gradsense", "check", "--format", "s") == ["sarif"]
    assert "closure-not-executed" in offered(script, "gradsense", "explain", "clos")
    assert offered(script, "gradsense", "check", "--engine", "d") == ["dask"]
    assert "merge" in offered(script, "gradsense", "m")
    assert "GS105" in offered(script, "gradsense", "check", "--select", "GS10")


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell", "tcsh"])
def test_other_shells_get_a_script(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.code == 0
    assert "write-baseline" in result.out


def test_an_unknown_shell_is_told(run: Run) -> None:
    result = run("completion", "elvish")
    assert result.code == 2
    assert "bash" in result.err
