"""What is told and offered within configuration files: problems, fixes, hover, links, completion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from lsprotocol import types

from gradsense.config import KEYS, read_configuration
from gradsense.findings import Span, apply_edits
from gradsense.lsp.config_document import ConfigDocument
from gradsense.lsp.config_edits import ignore_rule
from gradsense.rules.pages import page_url
from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor
from tests.lsp.scripted_server import RULES as SCRIPTED
from tests.lsp.test_actions import applied, by_title


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["vscode", "neovim@v0.11"])
async def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    options = EXTENSION_OPTIONS if request.param == "vscode" else None
    async with editor(request.param, tmp_path_factory.mktemp("workspace"), options) as found:
        yield found


@pytest.fixture
def running(session: Editor, request: pytest.FixtureRequest) -> Iterator[Editor]:
    """An editor in a folder of the test's own: what is configured there counts for no other."""
    root = session.folder
    session.folder = root / request.node.originalname
    session.folder.mkdir()
    yield session
    session.folder = root


async def told(running: Editor, uri: str, count: int) -> list[types.Diagnostic]:
    await running.until(lambda: (last := running.last(uri)) is not None and len(last.diagnostics) == count)
    return list(running.last(uri).diagnostics)


NAMES = {name: code for code, name, *_ in SCRIPTED.values()}
RULES = [*sorted(NAMES), *sorted(NAMES.values())]
"""As they are offered: by name, then by code."""
OTHERS = [rule for rule in RULES if rule not in ("bad-call", "GS901")]

PROJECT = """\
[project]
ignore = ["no-rule", "of ours"]

[tool.gradsense]
selct = ["GS901"]
ignore = ["bad-call", "odd-cal"]

[tool.gradsense.severity]
GS902 = "eror"
bad-cal = "error"
"""


@pytest.mark.asyncio(loop_scope="module")
async def test_what_has_no_effect_is_told_at_its_place_and_put_right(running: Editor) -> None:
    uri = running.open("pyproject.toml", PROJECT, language="toml")
    found = await told(running, uri, 4)
    assert [(d.range.start.line, d.range.start.character, d.range.end.character) for d in found] == [
        (4, 0, 5),
        (5, 23, 30),
        (8, 9, 13),
        (9, 0, 7),
    ]
    fixed = PROJECT
    for diagnostic, wrong, right in zip(
        found,
        ("selct =", '"odd-cal"', '"eror"', "bad-cal ="),
        ("select =", '"odd-call"', '"error"', "bad-call ="),
        strict=True,
    ):
        (action,) = await running.actions(uri, [diagnostic])
        assert action["isPreferred"]
        assert applied(PROJECT, action) == PROJECT.replace(wrong, right)
        fixed = fixed.replace(wrong, right)
    running.client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(version=2, uri=uri),
            [types.TextDocumentContentChangeWholeDocument(fixed)],
        )
    )
    await told(running, uri, 0)
    assert await running.actions(uri, [found[0]]) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_who_pulls_gets_nothing_twice(running: Editor) -> None:
    uri = running.open("pyproject.toml", PROJECT, language="toml")
    await told(running, uri, 4)
    if running.pulls:
        assert not (await running.pull(uri)).items


@pytest.mark.asyncio(loop_scope="module")
async def test_the_editor_s_text_counts_as_soon_as_it_is_toml(running: Editor) -> None:
    (running.folder / "pyproject.toml").write_text("")
    program = running.open("a.py", "bad_call()\n")
    assert await running.diagnostics(program, bool)
    uri = running.open("pyproject.toml", "[tool.gradsense]\n", language="toml")
    running.edit(uri, 2, (1, 0), (1, 0), 'ignore = ["GS901"')
    (problem,) = await told(running, uri, 1)
    assert problem.message.startswith("This is no TOML: ")
    assert problem.range.start.line == 1
    assert await running.diagnostics(program, bool)
    running.edit(uri, 3, (1, 17), (1, 17), "]\n")
    assert not await running.diagnostics(program, lambda found: not found)
    await told(running, uri, 0)
    # Half a line below hides nothing of what counts.
    running.edit(uri, 4, (2, 0), (2, 0), "[tool.gradsense.se")
    await told(running, uri, 1)
    assert not await running.diagnostics(program, lambda found: not found)
    running.close(uri)
    assert await running.diagnostics(program, bool)
    await told(running, uri, 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_another_tool_s_mistake_is_none_of_ours(running: Editor) -> None:
    uri = running.open("pyproject.toml", "[project\n", language="toml")
    other = running.open("gradsense.toml", "selct = 1\n[", language="toml")
    await told(running, other, 1)
    assert running.last(uri) is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_file_of_its_own_goes_before_the_project_s(running: Editor) -> None:
    (running.folder / "pyproject.toml").write_text('[tool.gradsense]\nignore = ["GS901"]\n')
    program = running.open("a.py", "bad_call()\nodd_call()\n")
    assert [d.code for d in await running.diagnostics(program, bool)] == ["GS902"]
    uri = running.open("gradsense.toml", 'ignore = ["GS902"]\n', language="toml")
    assert await running.diagnostics(program, lambda found: [d.code for d in found] == ["GS901"])
    running.close(uri)
    assert await running.diagnostics(program, lambda found: [d.code for d in found] == ["GS902"])


@pytest.mark.asyncio(loop_scope="module")
async def test_keys_and_rules_are_explained(running: Editor) -> None:
    uri = running.open("pyproject.toml", PROJECT.replace('selct = ["GS901', 'select = ["GS9'), language="toml")
    assert (await running.hover(uri, 5, 2)).contents.value.startswith("**ignore**\n\nRules that")
    rule = await running.hover(uri, 5, 14)
    assert rule.contents.value.startswith("**GS901 bad-call**\n\nAbout bad-call.")
    assert rule.range == types.Range(types.Position(5, 11), types.Position(5, 19))
    assert (await running.hover(uri, 8, 1)).contents.value.startswith("**GS902 odd-call**")
    family = (await running.hover(uri, 4, 11)).contents.value
    assert family.startswith("**GS9**: suppressions and configuration")
    assert "- GS901 bad-call\n- GS902 odd-call" in family
    for line, character in [(0, 3), (1, 3), (1, 14), (3, 8), (5, 25)]:
        assert await running.hover(uri, line, character) is None


@pytest.mark.asyncio(loop_scope="module")
async def test_rules_lead_to_their_pages(running: Editor) -> None:
    uri = running.open("pyproject.toml", PROJECT.replace("selct", "select"), language="toml")
    found = [(link.range.start.line, link.range.start.character, link.target) for link in await running.links(uri)]
    assert found == [
        (4, 11, page_url("bad-call")),
        (5, 11, page_url("bad-call")),
        (8, 0, page_url("odd-call")),
    ]
    program = running.open(
        "linked.py", "'# gradsense: ignore[GS902]'\nbad_call()  # gradsense: ignore[nothing, GS901]\n"
    )
    (link,) = await running.links(program)
    assert (link.range.start.line, link.range.start.character, link.target) == (1, 41, page_url("bad-call"))
    assert link.tooltip == "GS901 bad-call"


@pytest.mark.asyncio(loop_scope="module")
async def test_completion_of_keys_and_values(running: Editor) -> None:
    async def offered(text: str, name: str = "pyproject.toml") -> list[str]:
        before, _, after = text.partition("|")
        uri = running.open(name, before + after, language="toml")
        line, character = before.count("\n"), len(before.rpartition("\n")[2])
        items = await running.completions(uri, line, character)
        running.close(uri)
        assert all(item.text_edit.range.start.line == line for item in items)
        return [item.label for item in items]

    own = "[tool.gradsense]\n"
    keys = ["ignore", "lightning-version", "per-file-ignores", "probe", "select", "severity"]
    assert await offered(f"{own}|") == keys
    assert await offered(f"{own}i|") == keys
    assert await offered(f"{own}ignore = []\n|") == keys[1:]
    assert await offered("|", "gradsense.toml") == keys
    assert await offered("[project]\n|") == []
    assert await offered(f"{own}# |") == []
    assert await offered(f"{own}probe.|") == ["device", "hints", "memory-limit", "prewarm", "time-limit"]
    assert await offered(f"{own}probe = {{ | }}") == ["device", "hints", "memory-limit", "prewarm", "time-limit"]
    for text in ("ignore = [|", 'ignore = ["|', "ignore = [|]\n[project]", 'select = "|"', "ignore = [\n  |\n]"):
        assert (await offered(own + text))[: len(RULES)] == RULES
    assert (await offered(f'{own}ignore = ["GS901", "|"]'))[: len(RULES) - 2] == OTHERS
    assert await offered(f'{own}ignore = ["GS901"|]') == []
    assert (await offered('[tool.gradsense.per-file-ignores]\n"tests/*" = [|]'))[: len(RULES)] == RULES
    assert (await offered("[tool.gradsense.severity]\n|"))[: len(RULES)] == RULES
    assert (await offered('[tool.gradsense.severity]\nGS901 = "off"\n|'))[: len(RULES) - 2] == OTHERS
    assert await offered("[tool.gradsense.severity]\nGS901 = |") == ["error", "information", "off", "warning"]
    assert await offered(f"{own}probe.prewarm = |") == ["false", "true"]
    assert await offered(f"{own}lightning-version = |") == []
    headers = await offered("[project]\n\n[t|]")
    assert headers[:2] == ["tool.gradsense", "tool.gradsense.per-file-ignores"]
    assert "tool.gradsense" not in await offered("[tool.gradsense]\n\n[|]")


@pytest.mark.asyncio(loop_scope="module")
async def test_completed_text_is_what_the_place_needs(running: Editor) -> None:
    uri = running.open("pyproject.toml", '[tool.gradsense]\nignore = []\nselect = [""]\n', language="toml")
    by_label = {item.label: item for item in await running.completions(uri, 1, 10)}
    assert by_label["bad-call"].text_edit.new_text == '"bad-call"'
    assert by_label["bad-call"].detail == "GS901 · error"
    by_label = {item.label: item for item in await running.completions(uri, 2, 11)}
    assert by_label["bad-call"].text_edit.new_text == "bad-call"
    assert by_label["GS9"].detail == "suppressions and configuration"
    item = await running.ask(types.COMPLETION_ITEM_RESOLVE, by_label["GS901"])
    assert item.documentation.value.startswith("**GS901 bad-call**\n\nAbout bad-call.")
    running.edit(uri, 2, (3, 0), (3, 0), "\n")
    severity = next(item for item in await running.completions(uri, 3, 0) if item.label == "severity")
    snippets = running.client.capabilities.text_document.completion.completion_item.snippet_support
    assert severity.text_edit.new_text == ("severity = { $1 }" if snippets else "severity")


@pytest.mark.asyncio(loop_scope="module")
async def test_completion_in_suppressions_begins_with_what_is_found_there(running: Editor) -> None:
    async def offered(text: str) -> list[types.CompletionItem]:
        before, _, after = text.partition("|")
        uri = running.open("completed.py", before + after)
        items = await running.completions(uri, before.count("\n"), len(before.rpartition("\n")[2]))
        running.close(uri)
        return items

    line = "odd_call()  # gradsense: "
    assert [item.label for item in await offered(f"{line}|")] == ["ignore", "ignore-file", "probe"]
    first, *_ = await offered("odd_call()  # gradsense:|")
    assert first.text_edit.new_text.startswith(" ignore[")
    for text in (f"{line}ignore[|", f"{line}ignore[|]", f"{line}ignore[od|d]", f"{line}ignore[od|\nbad_call()\n"):
        items = await offered(text)
        assert [item.label for item in items] == ["odd-call", *(rule for rule in RULES if rule != "odd-call")]
        assert items[0].detail == "GS902 · warning, found here"
        word = text[text.index("[") + 1 :].partition("\n")[0].rstrip("]").replace("|", "")
        where = items[0].text_edit.range
        assert where.end.character - where.start.character == len(word)
    items = await offered(f"{line}ignore[odd-call,|]")
    assert [item.label for item in items] == [rule for rule in RULES if rule not in ("odd-call", "GS902")]
    assert items[0].text_edit.new_text == " bad-call"
    items = await offered("# gradsense: ignore-file[|]\nx = 1\nodd_call()\n")
    assert items[0].detail == "GS902 · warning, found here"
    for text in (f"{line}ignore[odd-call] |", f"'{line}ignore[|'", "x = y[|]", "# gradsense: |nothing"):
        assert not [item for item in await offered(text) if item.kind == types.CompletionItemKind.EnumMember]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rule_is_ignored_in_the_whole_project(running: Editor) -> None:
    file = running.folder / "pyproject.toml"
    file.write_text("[project]\n")
    program = running.open("a.py", "bad_call()\n")
    title = "Ignore bad-call in this project"
    action = by_title(await running.actions(program, await running.diagnostics(program, bool)), title)
    edited = applied(file.read_text(), action)
    assert edited == '[project]\n\n[tool.gradsense]\nignore = ["bad-call"]\n'
    uris = action["edit"].get("changes") or {c["textDocument"]["uri"] for c in action["edit"]["documentChanges"]}
    assert set(uris) == {running.uri("pyproject.toml")}
    running.open("pyproject.toml", edited, language="toml")
    assert not await running.diagnostics(program, lambda found: not found)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_project_without_a_configuration_gets_one(running: Editor) -> None:
    running.folder = root = running.folder.parent
    program = running.open("a.py", "bad_call()\n")
    title = "Ignore bad-call in this project"
    actions = await running.actions(program, await running.diagnostics(program, bool))
    edits = running.client.capabilities.workspace.workspace_edit
    if types.ResourceOperationKind.Create not in ((edits.document_changes and edits.resource_operations) or ()):
        assert title not in [action["title"] for action in actions]
        return
    action = by_title(actions, title)
    create, change = action["edit"]["documentChanges"]
    assert (create["kind"], create["uri"]) == ("create", (root / "gradsense.toml").as_uri())
    assert change["textDocument"]["uri"] == create["uri"]
    assert change["edits"][0]["newText"] == 'ignore = ["bad-call"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '[tool.gradsense]\nignore = ["x"]\n'),
        ("[a]\nb = 1", '[a]\nb = 1\n\n[tool.gradsense]\nignore = ["x"]\n'),
        ("[tool.gradsense]\n", '[tool.gradsense]\nignore = ["x"]\n'),
        (
            "[tool.gradsense]\nselect = []  # why\n\n[a]\n",
            '[tool.gradsense]\nselect = []  # why\nignore = ["x"]\n\n[a]\n',
        ),
        ("[tool.gradsense]\r\n\r\n[a]\r\n", '[tool.gradsense]\r\nignore = ["x"]\r\n\r\n[a]\r\n'),
        ("[tool.gradsense.probe]\n", '[tool.gradsense]\nignore = ["x"]\n\n[tool.gradsense.probe]\n'),
        ("[tool.gradsense]\nignore = []\n", '[tool.gradsense]\nignore = ["x"]\n'),
        ('[tool.gradsense]\nignore = ["a"]\n', '[tool.gradsense]\nignore = ["a", "x"]\n'),
        ('[tool.gradsense]\nignore = ["a",]\n', '[tool.gradsense]\nignore = ["a", "x",]\n'),
        ('[tool.gradsense]\nignore = "a"\n', '[tool.gradsense]\nignore = ["a", "x"]\n'),
        (
            '[tool.gradsense]\nignore = [\n  "a",  # why\n]\n',
            '[tool.gradsense]\nignore = [\n  "a",  # why\n  "x",\n]\n',
        ),
        (
            '[tool.gradsense]\nignore = [\n  "a"  # why\n]\n',
            '[tool.gradsense]\nignore = [\n  "a",  # why\n  "x",\n]\n',
        ),
        ('[tool]\ngradsense.ignore = ["a"]\n', '[tool]\ngradsense.ignore = ["a", "x"]\n'),
        ("[tool]\ngradsense.select = []\n", None),
        ("[tool]\ngradsense = { select = [] }\n", None),
        ('[tool.gradsense]\nignore = ["x"]\n', None),
    ],
)
def test_a_rule_is_added_in_the_file_s_own_style(text: str, expected: str | None) -> None:
    edits = ignore_rule(ConfigDocument(text, ("tool", "gradsense")), "x")
    assert (apply_edits(text, edits) if edits else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 'ignore = ["x"]\n'),
        ("[probe]\n", 'ignore = ["x"]\n\n[probe]\n'),
        ("select = []\n", 'select = []\nignore = ["x"]\n'),
        ("# why\nselect = []\n[probe]\n", '# why\nselect = []\nignore = ["x"]\n[probe]\n'),
    ],
)
def test_a_rule_is_added_to_a_file_of_its_own(text: str, expected: str) -> None:
    assert apply_edits(text, ignore_rule(ConfigDocument(text, ()), "x")) == expected


def test_every_key_that_is_known_is_documented() -> None:
    for path in {key.path[:-1] for key in KEYS}:
        table: dict[str, object] = {"?": 1}
        for name in reversed(path):
            table = {name: table}
        (problem,) = read_configuration(table, ())[1]
        known = [f"`{key.path[-1]}`" for key in KEYS if key.path[:-1] == path]
        assert problem.message.endswith(f"It knows {', '.join(known)}.")


@pytest.mark.parametrize("length", range(len(PROJECT)))
def test_half_a_file_is_survived(length: int) -> None:
    document = ConfigDocument(PROJECT[:length], ("tool", "gradsense"))
    for offset in range(length + 1):
        place = document.place_at(offset)
        assert place is None or Span(0, 0) <= place.word <= Span(length, length)
