"""The probe's lens, its requests, and its findings until the next edit of the class."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from gradsense.findings import Edit, Span
from gradsense.lsp.earlier import Earlier
from gradsense.lsp.probe import moved
from gradsense.probe.report import ParameterReport, ProbeReport
from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor
from tests.lsp.test_notebooks import cell, changed, opened, span, structure, texts

TEXT = "import torch\n\nclass Net:\n    x = 1\n\nclass Other:\n    y = 1\n"
PARAMETER = ParameterReport("weight", "", (2,), 2, True, None, gradient="none")


async def probe(
    editor: Editor, uri: str, target: str | None, position: Any = None, token: str | None = None
) -> dict[str, Any]:
    params = {"uri": uri, "target": target, "position": position, "workDoneToken": token}
    return await editor.ask_plain("gradsense/probe", params)


async def titles(editor: Editor, uri: str) -> list[str]:
    return [lens.command.title for lens in await editor.lenses(uri)]


def of_probe(found: Any) -> list[types.Diagnostic]:
    return [d for d in found if d.source == "gradsense-probe"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_lens_above_each_class_runs_the_right_command(each_editor: Editor) -> None:
    uri = each_editor.open("lens.py", TEXT)
    lenses = await each_editor.lenses(uri)
    assert [(lens.range.start.line, lens.command.title) for lens in lenses] == [
        (2, "▷ Run probe"),
        (5, "▷ Run probe"),
    ]
    vscode = each_editor.client.capabilities.notebook_document is not None
    assert lenses[0].command.command == ("gradsense.runProbe" if vscode else "gradsense.probe")
    assert list(lenses[0].command.arguments) == [uri, "Net"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_result_lasts_until_the_next_edit_of_its_class(vscode: Editor) -> None:
    uri = vscode.open("lasts.py", TEXT)
    answer = await probe(vscode, uri, "Net", token="lasts")
    assert answer["summary"] == "Net: 1 of 1 parameter will not learn"
    assert answer["error"] is None
    assert not answer["ok"]
    assert answer["report"]["target"] == "Net"
    assert answer["text"].startswith("Net  lasts.py:3\n")
    assert [value["kind"] for token, value in map(_plain, vscode.progress) if token == "lasts"] == [
        "begin",
        "report",
        "end",
    ]
    assert await titles(vscode, uri) == ["▷ Run probe · 1 of 1 parameter will not learn", "▷ Run probe"]
    (found,) = of_probe(await vscode.diagnostics(uri))
    assert found.range == types.Range(types.Position(2, 6), types.Position(2, 9))
    assert found.related_information[0].message == "defined here"

    vscode.edit(uri, 2, (0, 0), (0, 0), "'''\n\f\n'''\n")
    (found,) = of_probe(await vscode.diagnostics(uri))
    assert found.range.start == types.Position(5, 6)
    assert found.related_information[0].location.range.start == types.Position(5, 0)
    vscode.edit(uri, 3, (9, 4), (9, 5), "z")
    assert of_probe(await vscode.diagnostics(uri))

    vscode.edit(uri, 4, (6, 8), (6, 9), "2")
    assert not of_probe(await vscode.diagnostics(uri))
    assert await titles(vscode, uri) == ["▷ Run probe", "▷ Run probe"]


@pytest.mark.asyncio(loop_scope="session")
async def test_other_files_are_seen_as_they_are_typed(each_editor: Editor) -> None:
    uri = each_editor.open("constructed.py", TEXT)
    saved = each_editor.folder / "constructs.py"
    saved.write_text("from constructed import Net\nNet(1)\n", "utf-8")
    each_editor.open("imports_nothing.py", "Net = 1\n")
    answer = await probe(each_editor, uri, "Net")
    assert answer["report"]["notes"] == ["constructs.py says 'from constructed import Net\\nNet(1)\\n'"]
    each_editor.open("constructs.py", "from constructed import Net\nNet(2)\n")
    answer = await probe(each_editor, uri, "Net")
    assert answer["report"]["notes"] == ["constructs.py says 'from constructed import Net\\nNet(2)\\n'"]
    answer = await probe(each_editor, uri, "Other")
    assert answer["report"]["notes"] == []


@pytest.mark.asyncio(loop_scope="session")
async def test_who_asks_for_a_page_gets_one_with_the_lines_it_leads_to(vscode: Editor) -> None:
    uri = vscode.open("page.py", TEXT)
    assert "html" not in await probe(vscode, uri, "Net")
    params = {"uri": uri, "target": "Other", "position": None, "workDoneToken": None, "page": True}
    first = await vscode.ask_plain("gradsense/probe", params)
    assert "<h1>Other</h1>" in first["html"]
    assert "data-again" in first["html"]
    assert first["target"] == "Other"
    assert "Since the probe before" not in first["html"]
    numbers = {int(number) for number in re.findall(r'data-place="(\d+)"', first["html"])}
    assert numbers == set(range(len(first["places"])))
    assert {place["uri"] for place in first["places"]} == {uri}
    assert {"start": {"line": 5, "character": 6}, "end": {"line": 5, "character": 9}} in [
        place["range"] for place in first["places"]
    ]
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', first["html"]))
    number = next(
        n for n, place in enumerate(first["places"]) if place["range"]["start"] == {"line": 5, "character": 6}
    )
    assert await vscode.ask_plain("gradsense/probePlace", {"place": number}) == first["places"][number]
    vscode.edit(uri, 2, (0, 0), (0, 0), "\n")
    moved = await vscode.ask_plain("gradsense/probePlace", {"place": number})
    assert moved["range"]["start"] == {"line": 6, "character": 6}
    assert await vscode.ask_plain("gradsense/probePlace", {"place": len(first["places"])}) is None
    vscode.edit(uri, 3, (0, 0), (1, 0), "")
    vscode.edit(uri, 4, (6, 8), (6, 9), "2")
    second = await vscode.ask_plain("gradsense/probe", params)
    assert nonce not in second["html"]
    assert "Since the probe before: every layer is as it was." in second["html"]
    assert "Since the probe before: every layer is as it was." in second["text"]


def test_of_the_reports_to_compare_with_the_oldest_go() -> None:
    earlier = Earlier()
    reports = [ProbeReport(f"Net{n}", "net.py", n, parameters=(PARAMETER,)) for n in range(40)]
    for report in reports:
        assert earlier.replaced(("uri", report.target), report) is None
    failed = replace(reports[39], error="It broke.")
    assert earlier.replaced(("uri", "Net39"), failed) is reports[39]
    assert earlier.replaced(("uri", "Net39"), reports[39]) is reports[39]
    assert earlier.replaced(("uri", "Net0"), reports[0]) is None


@pytest.mark.asyncio(loop_scope="session")
async def test_an_edit_of_one_class_leaves_the_other_s_result(vscode: Editor) -> None:
    uri = vscode.open("both.py", TEXT)
    await probe(vscode, uri, "Net")
    await probe(vscode, uri, "Other")
    assert len(of_probe(await vscode.diagnostics(uri))) == 2
    vscode.edit(uri, 2, (3, 8), (3, 9), "2")
    (left,) = of_probe(await vscode.diagnostics(uri))
    assert left.range.start.line == 5


@pytest.mark.asyncio(loop_scope="session")
async def test_the_class_at_the_cursor(vscode: Editor) -> None:
    uri = vscode.open("cursor.py", TEXT)
    answer = await probe(vscode, uri, None, position={"line": 6, "character": 4})
    assert answer["summary"].startswith("Other: ")
    answer = await probe(vscode, uri, None, position={"line": 0, "character": 0})
    assert "no model class here" in answer["error"]
    assert "`Nothing`" in (await probe(vscode, uri, "Nothing"))["error"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_lens_above_a_training_loop_runs_the_script(vscode: Editor) -> None:
    uri = vscode.open("script.py", f"{TEXT}\nfor _ in range(3):\n    x = 1\n")
    *_, lens = await vscode.lenses(uri)
    assert (lens.range.start.line, lens.command.title) == (8, "▷ Probe this loop")
    assert list(lens.command.arguments) == [uri, "__main__"]
    answer = await probe(vscode, uri, "__main__")
    assert answer["summary"] == "script.py: 1 of 1 parameter will not learn"
    assert (await titles(vscode, uri))[-1] == "▷ Probe this loop · 1 of 1 parameter will not learn"
    # Any edit may change what the script does.
    vscode.edit(uri, 2, (3, 8), (3, 9), "2")
    assert not of_probe(await vscode.diagnostics(uri))
    assert (await titles(vscode, uri))[-1] == "▷ Probe this loop"


@pytest.mark.asyncio(loop_scope="session")
async def test_outside_of_a_class_the_script_is_at_the_cursor(vscode: Editor) -> None:
    uri = vscode.open("around.py", f"{TEXT}\nfor _ in range(3):\n    x = 1\n")
    answer = await probe(vscode, uri, None, {"line": 9, "character": 4})
    assert answer["report"]["target"] == "around.py"


async def hints(editor: Editor, uri: str, last: int = 99) -> list[tuple[int, int, str]]:
    lines = types.Range(types.Position(0, 0), types.Position(last, 0))
    params = types.InlayHintParams(types.TextDocumentIdentifier(uri), lines)
    found = await editor.client.text_document_inlay_hint_async(params)
    return [(hint.position.line, hint.position.character, str(hint.label)) for hint in found or ()]


@pytest.mark.asyncio(loop_scope="session")
async def test_hints_behind_the_lines_last_as_long_as_the_result(vscode: Editor) -> None:
    uri = vscode.open("hints.py", TEXT)
    assert await hints(vscode, uri) == []
    await probe(vscode, uri, "Net")
    assert await hints(vscode, uri) == [(2, 9, "✗ never used")]
    assert await hints(vscode, uri, last=1) == []
    vscode.edit(uri, 2, (0, 0), (0, 0), "\n")
    assert await hints(vscode, uri) == [(3, 9, "✗ never used")]
    vscode.edit(uri, 3, (4, 8), (4, 9), "2")
    assert await hints(vscode, uri) == []


def of_rules(found: Any) -> list[str]:
    return [d.message for d in found if d.source == "gradsense"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_finding_that_the_probe_confirms_says_so(vscode: Editor) -> None:
    uri = vscode.open("confirmed.py", "import torch\n\nclass Net: bad_call()\n")
    plain = "`bad_call` will fail. Call `good_call`."
    assert of_rules(await vscode.diagnostics(uri)) == [plain]
    await probe(vscode, uri, "Net")
    confirmed = f"{plain} The probe confirms it: `weight`, never used."
    assert of_rules(await vscode.diagnostics(uri)) == [confirmed]
    vscode.edit(uri, 2, (0, 0), (0, 0), "\n\n")
    assert of_rules(await vscode.diagnostics(uri)) == [confirmed]
    vscode.edit(uri, 3, (4, 11), (4, 11), " ")
    assert of_rules(await vscode.diagnostics(uri)) == [plain]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_finding_that_the_probe_refutes_is_withdrawn_until_the_next_edit(vscode: Editor) -> None:
    uri = vscode.open("refuted.py", "import torch\n\nclass Net: bad_call(); healthy = 1\n    # healthy\n")
    assert len(of_rules(await vscode.diagnostics(uri))) == 1
    await probe(vscode, uri, "Net")
    assert of_rules(await vscode.diagnostics(uri)) == []
    vscode.edit(uri, 2, (2, 11), (2, 11), " ")
    assert len(of_rules(await vscode.diagnostics(uri))) == 1


INHERITS = "import torch\n\nclass Net(Base): {}\n\nclass Base: bad_call()\n"


@pytest.mark.parametrize("end", [(4, 12), (3, 0)], ids=["in what it uses", "between"])
@pytest.mark.asyncio(loop_scope="session")
async def test_outside_of_the_class_an_edit_ends_what_its_probe_refutes(vscode: Editor, end: tuple[int, int]) -> None:
    uri = vscode.open(f"inherits{end[0]}.py", INHERITS.format("healthy = 1"))
    await probe(vscode, uri, "Net")
    assert of_rules(await vscode.diagnostics(uri)) == []
    vscode.edit(uri, 2, end, end, "\n" if end[1] == 0 else " ")
    assert len(of_rules(await vscode.diagnostics(uri))) == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_outside_of_the_class_an_edit_ends_what_its_probe_confirms(vscode: Editor) -> None:
    uri = vscode.open("inherits.py", INHERITS.format("pass"))
    await probe(vscode, uri, "Net")
    assert "The probe confirms it" in of_rules(await vscode.diagnostics(uri))[0]
    vscode.edit(uri, 2, (4, 12), (4, 12), " ")
    (plain,) = of_rules(await vscode.diagnostics(uri))
    assert "The probe" not in plain


@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_probe_can_settle_is_offered_to_be_confirmed(vscode: Editor) -> None:
    text = "import torch\n\nclass Net: bad_call()\n\nfor _ in range(3): bad_call()\n"
    uri = vscode.open("offered.py", text)
    found = [each for each in await vscode.diagnostics(uri) if each.source == "gradsense"]
    targets = []
    for diagnostic in found:
        actions = await vscode.actions(uri, [diagnostic])
        targets.append([each["command"]["arguments"] for each in actions if each["title"] == "Confirm with the probe"])
    assert targets == [[[uri, "Net"]], [[uri, "__main__"]]]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
async def test_what_was_made_up_can_be_written_above_the_class(vscode: Editor, newline: str) -> None:
    text = "import torch\n\n@some\nclass Net:\n    unsaid = 1\nclass Other: pass\n".replace("\n", newline)
    uri = vscode.open(f"unsaid{len(newline)}.py", text)
    title = "Write what the probe made up above Net"
    assert title not in [each["title"] for each in await vscode.actions(uri, where=(3, 6))]
    await probe(vscode, uri, "Net")
    (action,) = [each for each in await vscode.actions(uri, where=(3, 6)) if each["title"] == title]
    (change,) = action["edit"]["documentChanges"]
    (edit,) = change["edits"]
    assert edit["newText"] == f"# gradsense: probe Net(...)(torch.randn(4, 2)){newline}"
    assert edit["range"]["start"] == edit["range"]["end"] == {"line": 2, "character": 0}
    assert title not in [each["title"] for each in await vscode.actions(uri, where=(5, 6))]


@pytest.mark.asyncio(loop_scope="session")
async def test_cancelling_the_request_ends_the_probe(vscode: Editor) -> None:
    uri = vscode.open("slow.py", "class Net:\n    slow = 1\n")
    params = {"uri": uri, "target": "Net", "position": None, "workDoneToken": "slow"}
    request = vscode.client.protocol.send_request("gradsense/probe", params, msg_id="cancel-me")
    await vscode.until(lambda: any(token == "slow" for token, _ in vscode.progress))
    vscode.client.cancel_request(types.CancelParams("cancel-me"))
    with pytest.raises(JsonRpcException) as error:
        await asyncio.wait_for(asyncio.wrap_future(request), 20)
    assert error.value.code == types.LSPErrorCodes.RequestCancelled
    await vscode.until(lambda: [_plain(p)[1]["kind"] for p in vscode.progress if p[0] == "slow"][-1] == "end")


@pytest.mark.asyncio(loop_scope="session")
async def test_an_edit_of_the_class_ends_its_probe(vscode: Editor) -> None:
    uri = vscode.open("edited.py", "class Net:\n    slow = 1\n")
    request = asyncio.ensure_future(probe(vscode, uri, "Net", token="edited"))
    # It has begun when it reports: an edit before that is part of what is probed.
    await vscode.until(lambda: ("edited", "report") in [(p[0], _plain(p)[1]["kind"]) for p in vscode.progress])
    vscode.edit(uri, 2, (1, 4), (1, 8), "fast")
    assert "was edited while the probe ran" in (await asyncio.wait_for(request, 20))["error"]


@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_printed_never_reaches_the_protocol(vscode: Editor) -> None:
    uri = vscode.open("loud.py", "class Net:\n    loud = 1\n")
    assert (await probe(vscode, uri, "Net"))["error"] is None


@pytest.mark.asyncio(loop_scope="session")
async def test_as_a_command_with_progress_that_can_be_cancelled(neovim: Editor) -> None:
    uri = neovim.open("command.py", TEXT + "class Slow:\n    slow = 1\n")
    params = types.ExecuteCommandParams("gradsense.probe", [uri, "Net"])
    await neovim.ask(types.WORKSPACE_EXECUTE_COMMAND, params)
    await neovim.until(lambda: bool(neovim.messages))
    assert neovim.messages[-1].message == "Net: 1 of 1 parameter will not learn"
    assert of_probe(await neovim.diagnostics(uri, of_probe))

    seen = {token for token, _ in neovim.progress}
    params = types.ExecuteCommandParams("gradsense.probe", [uri, "Slow"])
    request = asyncio.ensure_future(neovim.ask(types.WORKSPACE_EXECUTE_COMMAND, params))
    await neovim.until(lambda: any(t not in seen and _plain((t, v))[1]["kind"] == "report" for t, v in neovim.progress))
    token, begin = next((t, _plain((t, v))[1]) for t, v in neovim.progress if t not in seen)
    assert begin["cancellable"]
    neovim.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
    with pytest.raises(JsonRpcException):
        await request


@pytest.mark.asyncio
async def test_nothing_runs_until_the_workspace_is_trusted(tmp_path: Path) -> None:
    options = {**EXTENSION_OPTIONS, "trusted": False}
    async with editor("vscode", tmp_path, options) as running:
        uri = running.open("untrusted.py", TEXT)
        assert await running.lenses(uri) == []
        assert "isn't trusted" in (await probe(running, uri, "Net"))["error"]
        running.client.protocol.notify("gradsense/trust", {"trusted": True})
        await running.until(lambda: types.WORKSPACE_CODE_LENS_REFRESH in running.counts)
        assert len(await running.lenses(uri)) == 2
        assert (await probe(running, uri, "Net"))["error"] is None


@pytest.mark.asyncio
async def test_the_server_s_end_ends_a_running_probe(tmp_path: Path) -> None:
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS) as running:
        uri = running.open("ends.py", "class Net:\n    slow = 1\n")
        request = asyncio.ensure_future(probe(running, uri, "Net", token="ends"))
        await running.until(lambda: any(token == "ends" for token, _ in running.progress))
    with pytest.raises(JsonRpcException):
        await request


@pytest.mark.asyncio
async def test_a_process_waits_for_the_next_probe_while_the_workspace_is_trusted(tmp_path: Path) -> None:
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS) as running:
        uri = running.open("again.py", TEXT)
        await running.diagnostics(uri)
        assert not waits(running)
        await probe(running, uri, "Net")
        await running.until(lambda: len(waits(running)) == 1)
        running.client.protocol.notify("gradsense/trust", {"trusted": False})
        await running.until(lambda: waits(running)[-1] == "no spare waits")
        assert "isn't trusted" in (await probe(running, uri, "Net"))["error"]
        assert waits(running)[-1] == "no spare waits"


@pytest.mark.asyncio
async def test_a_process_waits_for_the_first_probe_where_that_is_configured(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.gradsense.probe]\nprewarm = true\n", encoding="utf-8")
    async with editor("vscode", tmp_path, {**EXTENSION_OPTIONS, "trusted": False}) as running:
        uri = running.open("first.py", TEXT)
        await running.diagnostics(uri)
        assert not waits(running)
        running.client.protocol.notify("gradsense/trust", {"trusted": True})
        await running.until(lambda: len(waits(running)) == 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(("chosen", "device"), [(None, "cuda"), ("cpu", "cpu"), ("cuda:1", "cuda:1")])
async def test_the_device_is_the_clients_choice_or_configured(tmp_path: Path, chosen: str | None, device: str) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.gradsense.probe]\ndevice = "cuda"\n', encoding="utf-8")
    async with editor("vscode", tmp_path, {**EXTENSION_OPTIONS, "probeDevice": chosen}) as running:
        uri = running.open("device.py", "class Net:\n    healthy = 1\n")
        answer = await probe(running, uri, "Net")
        assert answer["report"]["device"] == device
        await running.until(lambda: len(waits(running)) == 1)
        assert waits(running)[0].endswith(f"for the {device}")


@pytest.mark.asyncio
async def test_another_device_is_refused(tmp_path: Path) -> None:
    async with editor("vscode", tmp_path, {**EXTENSION_OPTIONS, "probeDevice": "meta"}) as running:
        answer = await probe(running, running.open("device.py", TEXT), "Net")
        assert answer["error"].startswith("A probe can't run on the device `meta`.")


def waits(running: Editor) -> list[str]:
    """What was said of the process that waits."""
    return [message for message in running.logged if "spare" in message]


def _plain(progress: tuple[Any, Any]) -> tuple[Any, dict[str, Any]]:
    token, value = progress
    return token, value if isinstance(value, dict) else value._asdict()


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (Edit(Span(0, 0), "ab"), Span(12, 22)),
        (Edit(Span(0, 4), ""), Span(6, 16)),
        (Edit(Span(10, 10), "\n"), Span(11, 21)),
        (Edit(Span(10, 10), "x"), None),
        (Edit(Span(8, 12), ""), None),
        (Edit(Span(15, 15), "x"), None),
        (Edit(Span(20, 20), "x"), None),
        (Edit(Span(20, 20), "\nx"), Span(10, 20)),
        (Edit(Span(25, 30), "x"), Span(10, 20)),
        (Edit(Span(0, 30), "x"), None),
    ],
)
def test_a_place_moves_with_the_text_around_it(edit: Edit, expected: Span | None) -> None:
    assert moved(Span(10, 20), edit) == expected


@pytest.mark.asyncio(loop_scope="session")
async def test_a_class_in_a_cell_is_probed_with_all_cells(vscode: Editor) -> None:
    imports = cell(vscode, "imports.py", "%time\nimport torch")
    model = cell(vscode, "model.py", "x = 1\n\nclass Net(Base):\n    x = 1\n")
    base = cell(vscode, "base.py", "\nclass Base:\n    y = 1\n")
    notebook = opened(vscode, "probed.ipynb", [imports, model, base])
    for each, expected in ((imports, []), (model, [(2, ["Net"])]), (base, [(1, ["Base"])])):
        lenses = await vscode.lenses(each.uri)
        assert [(lens.range.start.line, list(lens.command.arguments)[1:]) for lens in lenses] == expected
    targets = await vscode.ask_plain("gradsense/targets", {"uri": imports.uri})
    assert [(each["target"], each["kind"]) for each in targets] == [("Net", "module"), ("Base", "module")]
    answer = await probe(vscode, model.uri, None, {"line": 3, "character": 0})
    assert answer["summary"] == "Net: 1 of 1 parameter will not learn"
    assert "probed.ipynb:code cell 2:3" in answer["text"]
    assert await titles(vscode, model.uri) == ["▷ Run probe · 1 of 1 parameter will not learn"]
    (found,) = of_probe((await vscode.pull(model.uri)).items)
    assert (found.range.start.line, found.related_information[0].location.uri) == (2, model.uri)
    whole = types.Range(types.Position(0, 0), types.Position(9, 0))
    hints = types.InlayHintParams(types.TextDocumentIdentifier(base.uri), whole)
    (hint,) = await vscode.ask(types.TEXT_DOCUMENT_INLAY_HINT, hints)
    assert hint.position.line == 1
    # Edits of other cells, and of others lines of its own, leave the class alone.
    changed(vscode, notebook, texts((imports, 2, span(1, 0, 0), "import math\n"), (model, 2, span(0, 0, 0), "\n")))
    (found,) = of_probe((await vscode.pull(model.uri)).items)
    assert found.range.start.line == 3
    changed(vscode, notebook, texts((model, 3, span(4, 8, 9), "2")))
    assert of_probe((await vscode.pull(model.uri)).items) == []


@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_probe_found_goes_with_its_cell(vscode: Editor) -> None:
    first, second = cell(vscode, "first.py", "class One:\n    x = 1\n"), cell(vscode, "second.py", "class Two: x = 1\n")
    notebook = opened(vscode, "deleted.ipynb", [first, second])
    assert (await probe(vscode, first.uri, "Two"))["report"]["target"] == "Two"
    assert of_probe((await vscode.pull(second.uri)).items)
    changed(vscode, notebook, structure(1, 1, closed=[second]))
    changed(vscode, notebook, structure(1, 0, [second], opened=[second]))
    assert of_probe((await vscode.pull(second.uri)).items) == []
    loop = await probe(vscode, first.uri, "__main__")
    assert loop["error"] == "`__main__` is no model class of this file. Use the lens above a class."
