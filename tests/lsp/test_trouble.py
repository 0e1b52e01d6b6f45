"""Rules that fail or take long: told once, in the log and to the extension."""

from __future__ import annotations

import pytest

from gradsense.lsp.trouble import Stopwatch
from tests.lsp.editor import Editor


def test_a_stopwatch_adds_up_what_each_rule_took() -> None:
    times = iter([0.0, 1.0, 3.0, 3.5, 10.0, 11.0])
    watch = Stopwatch(lambda: next(times))
    for part in ("GS101", "GS102", "", "GS101", ""):
        watch(part)
    assert watch.costs == {"GS101": 3.0, "GS102": 0.5}


@pytest.mark.asyncio(loop_scope="session")
async def test_the_extension_is_told_of_a_slow_rule_once(vscode: Editor) -> None:
    uri = vscode.open("slow.py", "slow_rule()\n")
    await vscode.until(lambda: any(each["file"] == "slow.py" for each in vscode.troubles))
    vscode.edit(uri, 2, (0, 0), (0, 0), "bad_call()\n")
    await vscode.diagnostics(uri, bool)
    (told,) = [each for each in vscode.troubles if each["file"] == "slow.py"]
    assert (told["kind"], told["rule"]) == ("slow", "GS901")
    assert told["seconds"] > 0
    await vscode.until(lambda: any("GS901 took" in message for message in vscode.logged))


@pytest.mark.asyncio(loop_scope="session")
async def test_the_extension_is_told_of_a_rule_that_fails(vscode: Editor) -> None:
    vscode.open("broken.py", "broken_rule()\n")
    await vscode.until(lambda: any(each["file"] == "broken.py" for each in vscode.troubles))
    (told,) = [each for each in vscode.troubles if each["file"] == "broken.py"]
    assert (told["kind"], told["rule"]) == ("failed", "GS902")


@pytest.mark.asyncio(loop_scope="session")
async def test_other_editors_have_the_log(neovim: Editor) -> None:
    neovim.open("slow.py", "slow_rule()\n")
    await neovim.until(lambda: any("GS901 took" in message for message in neovim.logged))
    assert not neovim.troubles
