"""A workspace that is made to be opened: nothing of it runs, leads out, is written, or is shown as more than text."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from markdown_it import MarkdownIt

from gradsense.lsp.markup import code_block, without_links
from tests.lsp.editor import Editor, editor
from tests.workspace.folders import make_environment, write_files

MARKUP = "<img src=x onerror=alert(1)> ![x](https://example.org/x.png) [x](command:workbench.action.quit) $(flame)"

PROGRAM = f'''\
"""{MARKUP}

```
{MARKUP}
"""
import torch
from torch import nn
import timm
import helper


class Net(nn.Module):
    """{MARKUP}"""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 1)
        setattr(self, "{MARKUP}", timm.create_model("x"))

    def forward(self, x):
        """{MARKUP}"""
        return self.second(self.first(x))


net = Net()
optimizer = torch.optim.Adam(net.second.parameters(), lr=float("""
```
{MARKUP}
````
"""), foo="{MARKUP}")
other = torch.optim.SGD([p for p in net.first.parameters() if "{MARKUP}"], lr=0.1)
for _ in range(3):
    loss = net(torch.randn(2, 4)).sum()
    loss.backward()
    optimizer.zero_grad()  # gradsense: ignore[{MARKUP}]
    optimizer.step()  # {MARKUP}
'''

AUDIT = """
import os, runpy, sys
log = open(sys.argv[1], "a", buffering=1)
own = log.fileno()
def audit(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "subprocess.Popen"):
        what = arguments[0]
        if not isinstance(what, int) and what is not None:
            mode = arguments[1] if event == "open" else ""
            os.write(own, f"{event}\\t{mode}\\t{os.fspath(what)!r}\\n".encode("utf-8", "backslashreplace"))
sys.addaudithook(audit)
sys.argv[1:] = ["server", "--stdio"]
runpy.run_module("gradsense", run_name="__main__")
"""


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder, to the byte."""
    found: dict[str, bytes | str] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                found[path] = os.readlink(path)
            else:
                found[path] = Path(path).read_bytes() if os.path.isfile(path) else ""
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace. What runs of it writes `executed`; what it should not lead to lies in `outside`."""
    evil = f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__)\n"
    root, outside = tmp_path / "root", write_files(tmp_path / "outside", {"secret.py": "x = 1\n", "p/__init__.py": ""})
    packages = make_environment(root / ".venv", {"torch": "2.13.0", "lightning": "2.6.6"})
    fakes = ("torch", "libcst", "pygls", "jedi", "lsprotocol", "gradsense", "timm", "json", "asyncio", "rich")
    traps = {f"{name}/__init__.py": evil for name in fakes}
    traps |= {
        f"{name}.py": evil for name in ("sitecustomize", "usercustomize", "conftest", "setup", "helper", "__init__")
    }
    write_files(packages, {**traps, "evil.pth": f"import sys; {evil}", "far.pth": f"{outside}\n"})
    named = dict.fromkeys(("%0Aa.py", "quote'\"`.py", "<b>.py", "[x](command:y).py"), "import torch\n")
    settings = '{"gradsense.interpreter": "./evil", "gradsense.server.path": "./evil"}'
    write_files(root, {**traps, **named, "train.py": PROGRAM, ".vscode/settings.json": settings})
    write_files(root, {"pyproject.toml": f"[tool.gradsense]\n'{MARKUP}' = 1\nignore = ['{MARKUP}']\n"})
    (root / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\necho python >> {tmp_path / 'executed'}\n")
    if os.name != "nt":
        (root / os.fsdecode(b"\xff.py")).write_text("import torch\n")
        (root / "a\nb.py").write_text("import torch\n")
        os.mkfifo(root / "pipe.py")
    for link, target in (("loop.py", "loop.py"), ("loop", "loop"), ("up", ".."), ("secret.py", outside / "secret.py")):
        (root / link).symlink_to(target)
    (root / "p").symlink_to(outside / "p")
    return root


def is_plain(text: str) -> None:
    """Fails where Markdown would show more than text, code and links of ours."""
    for token in MarkdownIt("commonmark", {"html": True}).parse(text):
        for each in (token, *(token.children or ())):
            assert each.type not in ("html_block", "html_inline", "image"), each.content
            if each.type == "link_open":
                address = str(each.attrs["href"])
                assert address.startswith("https://"), address
                assert "example.org" not in address
            assert MARKUP not in each.content or each.type in ("fence", "inline", "text"), each


def contents(found: types.Hover | types.CompletionItem | types.InlayHint | None) -> str:
    shown = found.contents if isinstance(found, types.Hover) else getattr(found, "documentation", None) or ""
    if isinstance(found, types.InlayHint):
        shown = found.tooltip or ""
    return shown.value if isinstance(shown, types.MarkupContent) else str(shown)


async def look_at_everything(running: Editor, uri: str) -> str:
    """Ask for whatever an editor asks; what is shown as Markdown."""
    found = [*await running.diagnostics(uri, lambda each: any(d.code == "GS401" for d in each))]
    assert all(not isinstance(each.message, types.MarkupContent) for each in found)
    told = ""
    for number, line in enumerate(PROGRAM.splitlines()):
        for column in {match.start() for match in re.finditer(r"\b\w", line)}:
            told += contents(await running.hover(uri, number, column)) + "\n\n"
    for lens in await running.lenses(uri):
        assert lens.command is not None
        assert "$(" not in lens.command.title
    everywhere = types.Range(types.Position(0, 0), types.Position(99, 0))
    document = types.TextDocumentIdentifier(uri)
    for hint in await running.ask(types.TEXT_DOCUMENT_INLAY_HINT, types.InlayHintParams(document, everywhere)) or ():
        told += contents(await running.ask(types.INLAY_HINT_RESOLVE, hint)) + "\n\n"
    for link in await running.links(uri):
        assert link.target is not None
        assert link.target.startswith("https://")
        assert "example.org" not in link.target
    await running.actions(uri, found)
    line = next(n for n, each in enumerate(PROGRAM.splitlines()) if "ignore[" in each)
    for item in await running.completions(uri, line, PROGRAM.splitlines()[line].index("ignore[") + 7):
        told += contents(item) + "\n\n"
    return told


@pytest.mark.asyncio
async def test_a_hostile_workspace_is_read_and_nothing_else(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "opened.log"
    command = (sys.executable, "-c", AUDIT, str(log))
    before = tree(tmp_path / "root"), tree(tmp_path / "outside")
    options = {"trusted": False, "clientCommands": True, "workspaceDiagnostics": "workspace"}
    async with editor("vscode", root, options, command) as running:
        uri = running.open("train.py", PROGRAM)
        told = await look_at_everything(running, uri)
        assert "Adam(" in told
        is_plain(told)
        configuration = running.open("pyproject.toml", (root / "pyproject.toml").read_text(), language="toml")
        for column in range(0, 30, 5):
            is_plain(contents(await running.hover(configuration, 1, column)))
        answer = await running.ask_plain("gradsense/probe", {"uri": uri, "target": "Net", "page": True})
        assert "isn't trusted" in answer["error"]
        assert not running.messages
    assert not (tmp_path / "executed").exists()
    assert (tree(tmp_path / "root"), tree(tmp_path / "outside")) == before
    events = [line.split("\t") for line in log.read_text("utf-8").splitlines()]
    opened = [(event, mode, os.path.realpath(eval(name))) for event, mode, name in events]
    assert any(name == str(root / "pyproject.toml") for _, _, name in opened), "nothing was seen"
    led_out = [each for each in opened if each[2].startswith(str(tmp_path / "outside"))]
    assert not led_out
    writing = [
        each
        for each in opened
        if each[2].startswith(str(root)) and not (each[0] in ("os.listdir", "os.scandir") or each[1] in ("r", "rb"))
    ]
    assert not writing


@pytest.mark.parametrize(
    "text", ["", "`", "```\n<b>", "````", "`````\n[x](command:y)\n``", "~~~\n\n# x", "\r```\r<b>\r"]
)
def test_a_block_of_code_ends_where_it_should(text: str) -> None:
    (fence,) = MarkdownIt("commonmark", {"html": True}).parse(code_block(text))
    assert fence.type == "fence"
    assert fence.content.rstrip("\n") == text.replace("\r", "\n").rstrip("\n")


def test_a_message_has_no_links() -> None:
    assert "](" not in without_links(MARKUP)
