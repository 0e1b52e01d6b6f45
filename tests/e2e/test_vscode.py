"""The extension, as packaged, in a real VS Code: each scenario is a program that drives the browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.test_cache import LOOP as MAIN
from tests.cli.test_cache import STEPS
from tests.e2e.real_vscode import NODE, REPOSITORY, VSCode, address_of, install, server_from_this_environment

HERE = Path(__file__).parent
VSIX = REPOSITORY / "dist" / "gradsense.vsix"


@contextlib.contextmanager
def installed(data: Path, settings: Mapping[str, object], *others: Path) -> Iterator[str]:
    """The address of a VS Code with the packaged extension, and with others."""
    if not VSIX.is_file():
        pytest.fail(f"{VSIX.relative_to(REPOSITORY)} is missing. Run `make package`.")
    install()
    code = VSCode(data)
    code.configure(settings)
    code.offer_language("de")
    for extension in (VSIX, *others):
        code.install_extension(extension)
    with code.serve() as address:
        _SERVED[address] = code
        yield address


_SERVED: dict[str, VSCode] = {}
"""Each VS Code by its address."""


@pytest.fixture(scope="session")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With this environment's server, as `make editor` has it, and with German among the display languages."""
    with installed(tmp_path_factory.mktemp("vscode"), server_from_this_environment()) as address:
        yield address


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go: `make screenshots` asks for them."""
    wanted = os.environ.get("GRADSENSE_SCREENSHOTS")
    return Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(HERE / "project", tmp_path / "project")


def play(scenario: str, address: str, screenshots: Path, **variables: str) -> None:
    command = [str(NODE), str(HERE / f"{scenario}.mts"), address, str(screenshots)]
    environment = {**os.environ, **variables}
    try:
        outcome = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, env=environment
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"{scenario} did not end:\n{(late.stdout or b'').decode()}\n{logged(address)}")
    assert outcome.returncode == 0, f"{outcome.stdout}\n{logged(address)}\nScreenshots are in {screenshots}"


def logged(address: str) -> str:
    """What the extension of the newest window has written into its output channels."""
    code = next(code for served, code in _SERVED.items() if address.startswith(served))
    hosts = sorted(code.logs.glob("*/exthost*"), key=lambda host: host.stat().st_ctime)
    files = sorted(hosts[-1].rglob("*GradSense*.log")) if hosts else []
    return "\n".join(f"{file.name}:\n{file.read_text()}" for file in files) or "The extension has logged nothing."


def make_interpreter(script: Path, witness: Path) -> None:
    """An interpreter that leaves a file behind as soon as it runs."""
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\ntouch "{witness}"\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)


@pytest.fixture
def witness(project: Path, tmp_path: Path) -> Path:
    """A file that exists as soon as anything runs that the project wants to have run."""
    file = tmp_path / "witness"
    script = project / ".venv" / "bin" / "python"
    make_interpreter(script, file)
    settings = {"gradsense.server.path": str(script), "gradsense.interpreter": str(script)}
    (project / ".vscode").mkdir()
    (project / ".vscode" / "settings.json").write_text(json.dumps(settings))
    return file


def assert_cleared_before_backward(program: str) -> None:
    assert program.index("optimizer.zero_grad()") < program.index("loss.backward()")


def loop_cell(notebook: Path) -> str:
    """The source of a notebook's last cell."""
    return "".join(json.loads(notebook.read_text())["cells"][-1]["source"])


def test_restricted_mode_has_findings_but_runs_nothing_of_the_project(
    vscode: str, project: Path, witness: Path, screenshots: Path
) -> None:
    play("restricted_mode", address_of(vscode, project), screenshots)
    assert not witness.exists()


def test_trust_lets_the_project_choose(vscode: str, project: Path, witness: Path, screenshots: Path) -> None:
    play("trust", address_of(vscode, project), screenshots)
    assert witness.exists()


def test_a_mistake_is_seen_and_fixed_while_typing(vscode: str, project: Path, screenshots: Path) -> None:
    play("typing", address_of(vscode, project), screenshots)
    assert_cleared_before_backward((project / "regression.py").read_text())


def test_from_squiggle_to_fix(vscode: str, project: Path, screenshots: Path) -> None:
    play("from_squiggle_to_fix", address_of(vscode, project), screenshots)
    fixed = (project / "dual_network.py").read_text()
    assert "optim.Adam(network.parameters(), lr=0.01)" in fixed


def test_what_callers_do_is_told_where_it_goes_wrong(vscode: str, project: Path, screenshots: Path) -> None:
    (project / "steps.py").write_text(STEPS)
    (project / "main.py").write_text(MAIN)
    play("callers", address_of(vscode, project), screenshots)


def test_hovers_tell_what_was_understood(vscode: str, project: Path, screenshots: Path) -> None:
    play("facts", address_of(vscode, project), screenshots)


def test_the_probe_tells_what_will_not_learn(vscode: str, project: Path, screenshots: Path) -> None:
    play("probe", address_of(vscode, project), screenshots)


def test_the_probe_s_panel_is_read_walked_and_compared(vscode: str, project: Path, screenshots: Path) -> None:
    play("panel", address_of(vscode, project), screenshots)


def test_the_probe_runs_the_script_above_its_loop(vscode: str, project: Path, screenshots: Path) -> None:
    play("loop", address_of(vscode, project), screenshots)


def test_a_notebook_is_checked_across_its_cells(vscode: str, project: Path, screenshots: Path) -> None:
    play("notebook", address_of(vscode, project), screenshots)
    assert_cleared_before_backward(loop_cell(project / "notebook.ipynb"))


def test_a_class_in_a_notebook_is_probed_once_there_is_trust(
    vscode: str, project: Path, witness: Path, screenshots: Path
) -> None:
    play("notebook_probe", address_of(vscode, project), screenshots, GRADSENSE_WITNESS=str(witness))
    assert witness.exists()


def test_a_probe_can_be_cancelled(vscode: str, project: Path, screenshots: Path) -> None:
    play("cancelled_probe", address_of(vscode, project), screenshots)


@pytest.mark.usefixtures("witness")
def test_what_the_user_may_ask_and_choose(vscode: str, project: Path, screenshots: Path) -> None:
    play("choices", address_of(vscode, project), screenshots)


def test_the_walkthrough_opens_with_an_example(vscode: str, project: Path, screenshots: Path) -> None:
    play("walkthrough", address_of(vscode, project), screenshots)


def test_once_through_by_keyboard_alone(vscode: str, project: Path, screenshots: Path) -> None:
    play("keyboard", address_of(vscode, project), screenshots)


def test_what_the_extension_says_is_in_the_display_language(vscode: str, project: Path, screenshots: Path) -> None:
    play("german", address_of(vscode, project), screenshots)


def test_each_folder_has_its_own_configuration_and_interpreter(vscode: str, tmp_path: Path, screenshots: Path) -> None:
    program = (HERE / "project" / "dual_network.py").read_text()
    for name in ("strict", "lenient"):
        folder = tmp_path / name
        make_interpreter(folder / "bin" / "python", tmp_path / f"{name} ran")
        (folder / ".vscode").mkdir()
        (folder / ".vscode" / "settings.json").write_text('{"gradsense.interpreter": "bin/python"}')
        (folder / f"{name}.py").write_text(program.replace("DualNetwork", name.title()))
    (tmp_path / "lenient" / "pyproject.toml").write_text('[tool.gradsense]\nignore = ["GS301"]\n')
    workspace = tmp_path / "both.code-workspace"
    workspace.write_text(json.dumps({"folders": [{"path": "strict"}, {"path": "lenient"}]}))
    play("multi_root", address_of(vscode, workspace), screenshots)
    assert (tmp_path / "strict ran").exists()
    assert (tmp_path / "lenient ran").exists()


def test_fixes_are_made_on_saving_where_that_is_set(vscode: str, project: Path, screenshots: Path) -> None:
    settings = {
        "editor.codeActionsOnSave": {"source.fixAll.gradsense": "explicit"},
        "notebook.codeActionsOnSave": {"notebook.source.fixAll.gradsense": "explicit"},
    }
    (project / ".vscode").mkdir()
    (project / ".vscode" / "settings.json").write_text(json.dumps(settings))
    play("on_save", address_of(vscode, project), screenshots)
    assert_cleared_before_backward((project / "cleared_before_step.py").read_text())
    assert_cleared_before_backward(loop_cell(project / "notebook.ipynb"))


def packed(extension: Path, file: Path) -> Path:
    """An extension that needs no building, as a .vsix file."""
    manifest = json.loads((extension / "package.json").read_text())
    name, publisher, version = manifest["name"], manifest["publisher"], manifest["version"]
    identity = f'<Identity Language="en-US" Id="{name}" Version="{version}" Publisher="{publisher}"/>'
    asset = '<Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/>'
    schema = "http://schemas.microsoft.com/developer/vsx-schema/2011"
    with zipfile.ZipFile(file, "w") as vsix:
        vsix.writestr(
            "extension.vsixmanifest",
            f'<PackageManifest Version="2.0.0" xmlns="{schema}"><Metadata>{identity}</Metadata>'
            f'<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>'
            f"<Dependencies/><Assets>{asset}</Assets></PackageManifest>",
        )
        for each in extension.iterdir():
            vsix.write(each, f"extension/{each.name}")
    return file


def test_what_changes_while_the_server_runs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    server = tmp_path / "gradsense"
    server.write_text(f'#!/bin/sh\necho $$ >> "{started}"\nexec "{sys.executable}" -I -m gradsense "$@"\n')
    server.chmod(0o755)
    stand_in = packed(HERE / "stand_in", tmp_path / "stand_in.vsix")
    monkeypatch.setenv("STAND_IN_PYTHON", sys.executable)
    with installed(tmp_path / "vscode", {"gradsense.server.path": str(server)}, stand_in) as address:
        paths = {"GRADSENSE_PROJECT": str(project), "GRADSENSE_STARTED": str(started)}
        play("changes", address_of(address, project), tmp_path, **paths)


def test_the_bundled_server_does_it_too(project: Path, tmp_path: Path) -> None:
    """As users have it: nothing is set but an interpreter that has torch."""
    with installed(tmp_path / "vscode", {"gradsense.interpreter": sys.executable}) as address:
        play("typing", address_of(address, project), tmp_path)
        play("probe", address_of(address, project), tmp_path)
