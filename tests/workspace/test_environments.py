"""Environments, interpreters and versions, read as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradsense.config import Settings
from gradsense.workspace.environments import Surroundings, environment_at, environment_of
from gradsense.workspace.interpreters import choose_interpreter
from gradsense.workspace.versions import installed_version
from tests.workspace.folders import make_environment, write_files


def test_what_the_files_tell(tmp_path: Path) -> None:
    packages = make_environment(tmp_path / ".venv", {"torch": "2.13.0+cpu", "pytorch-lightning": "2.6.6"})
    environment = environment_at(tmp_path / ".venv", ".venv")
    assert environment.python == "3.11"
    assert environment.packages == (packages,)
    assert environment.interpreter == tmp_path / ".venv" / "bin" / "python"
    assert environment.has("torch")
    assert not environment.has("jax")
    assert environment.version_of("PyTorch_Lightning") == "2.6.6"
    assert environment.version_of("torch") == "2.13.0+cpu"
    assert environment.version_of("jax") is None


def test_conda_windows_and_debian_layouts(tmp_path: Path) -> None:
    conda = write_files(
        tmp_path / "conda",
        {
            "conda-meta/python-3.12.1-h1.json": "{}",
            "python.exe": "",
            "Lib/site-packages/torch/__init__.py": "",
        },
    )
    environment = environment_at(conda, "conda")
    assert (environment.python, environment.interpreter) == ("3.12", conda / "python.exe")
    assert environment.has("torch")
    debian = write_files(
        tmp_path / "usr",
        {"bin/python3": "", "lib/python3/dist-packages/torch/__init__.py": "", "lib/python3.11/os.py": ""},
    )
    assert environment_of(debian / "bin" / "python3", "PATH").has("torch")


def test_system_packages_count_where_the_environment_lets_them_in(tmp_path: Path) -> None:
    make_environment(tmp_path / "base", {"torch": "2.0"})
    make_environment(tmp_path / ".venv", {})
    configuration = f"home = {tmp_path}/base/bin\ninclude-system-site-packages = true\nversion = 3.11.4\n"
    write_files(tmp_path / ".venv", {"pyvenv.cfg": configuration})
    assert environment_at(tmp_path / ".venv", ".venv").has("torch")


def test_order_of_environments(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in (".venv", "torch-env", "deep/er/venv"):
        make_environment(root / name, {})
    make_environment(tmp_path / "active", {})
    make_environment(tmp_path / "conda", {})
    make_environment(tmp_path / "path", {})
    make_environment(root / "planted", {})
    surroundings = Surroundings(
        str(tmp_path / "active"),
        str(tmp_path / "conda"),
        ("", "bin", str(root / "planted" / "bin"), str(tmp_path / "empty"), str(tmp_path / "path" / "bin")),
    )
    found = [(env.prefix, env.why) for env in surroundings.environments(root / "deep" / "er", root)]
    assert found == [
        (root / "deep/er/venv", "deep/er/venv in the workspace"),
        (root / ".venv", ".venv in the workspace"),
        (root / "planted", "planted in the workspace"),
        (root / "torch-env", "torch-env in the workspace"),
        (tmp_path / "active", "VIRTUAL_ENV"),
        (tmp_path / "conda", "the active conda environment"),
        (tmp_path / "path", "PATH"),
    ]


def test_the_interpreter_with_torch_is_chosen(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {})
    make_environment(tmp_path / "active", {"torch": "2.1"}, python="3.10")
    environments = Surroundings(str(tmp_path / "active")).environments(tmp_path, tmp_path)
    chosen = choose_interpreter(tmp_path, environments)
    assert chosen.path == tmp_path / "active" / "bin" / "python"
    assert chosen.tried == [
        ".venv in the workspace (3.11, no torch)",
        "active in the workspace (3.10, torch 2.1)",
    ]


def test_the_users_choice_goes_first(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {"torch": "2.1"})
    make_environment(tmp_path / "mine", {"torch": "2.2"})
    environments = Surroundings().environments(tmp_path, tmp_path)
    for configured in ("mine", "mine/bin/python", str(tmp_path / "mine" / "bin" / "python")):
        chosen = choose_interpreter(tmp_path, environments, configured)
        assert chosen.path == tmp_path / "mine" / "bin" / "python"
        assert chosen.why == "the chosen interpreter"


def test_a_choice_that_cannot_do_is_told_and_another_taken(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {"torch": "2.1"})
    make_environment(tmp_path / "mine", {})
    environments = Surroundings().environments(tmp_path, tmp_path)
    chosen = choose_interpreter(tmp_path, environments, "mine")
    assert chosen.path == tmp_path / ".venv" / "bin" / "python"
    assert chosen.tried[0] == "the chosen interpreter (3.11, no torch)"
    missing = choose_interpreter(tmp_path, environments, "gone/bin/python")
    assert missing.path == tmp_path / ".venv" / "bin" / "python"
    assert "gone/bin/python (no interpreter)" in missing.tried[0]


def test_without_torch_the_next_step_is_named(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {})
    chosen = choose_interpreter(tmp_path, Surroundings().environments(tmp_path, tmp_path))
    assert chosen.path is None
    assert chosen.why == (
        "No interpreter with torch found. Tried .venv in the workspace (3.11, no torch). "
        "Choose one: `--interpreter` or the setting `gradsense.interpreter`."
    )
    assert "Choose one" in choose_interpreter(tmp_path, ()).why


POETRY_LOCK = '[[package]]\nname = "lightning"\nversion = "2.0.3"\n'


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "2.6.6"),  # as installed
        ({"requirements.txt": "torch\nlightning==2.1.2  # pinned\n"}, "2.1.2"),
        ({"requirements-dev.txt": "-r base.txt\npytorch_lightning == 1.9.* ; python_version > '3'\n"}, "1.9"),
        ({"requirements.txt": "lightning==2.1.2 \\\n    --hash=sha256:00\n"}, "2.1.2"),
        ({"requirements.txt": "lightning>=2\n"}, "2.6.6"),
        ({"environment.yaml": "name: a\ndependencies:\n  - pip:\n    - pytorch-lightning==1.0.8\n"}, "1.0.8"),
        ({"environment.yml": "dependencies:\n- conda-forge::lightning=2.1.2=pyhd8ed1ab_0  # pinned\n"}, "2.1.2"),
        ({"environment.yml": 'dependencies:\n  - "lightning>=2"\n  - lightning\n'}, "2.6.6"),
        ({"pyproject.toml": '[project]\ndependencies = ["lightning[extra]==2.2.0"]\n'}, "2.2.0"),
        (
            {"pyproject.toml": '[dependency-groups]\ntrain = ["lightning==2.3.0", {include-group = "x"}]\n'},
            "2.3.0",
        ),
        ({"pyproject.toml": '[tool.poetry.dependencies]\nlightning = "2.0.1"\n'}, "2.0.1"),
        ({"setup.py": "setup(name='x', install_requires=['torch', 'lightning==2.1.0'])\n"}, "2.1.0"),
        ({"setup.py": "NEEDED = ('lightning<2',)\n\nsetup(install_requires=NEEDED)\n"}, "1.9.5"),
        ({"setup.py": "setup(install_requires=read('requirements.txt'))\n"}, "2.6.6"),
        ({"setup.py": "setup(install_requires=['lightning==2.1.0'\n"}, "2.6.6"),
        ({"setup.cfg": "[options]\ninstall_requires =\n    torch\n    lightning==2.1.1  # pinned\n"}, "2.1.1"),
        ({"setup.cfg": "install_requires = lightning==2.1.1\n"}, "2.6.6"),
        ({"poetry.lock": POETRY_LOCK}, "2.0.3"),
        ({"uv.lock": 'version = 1\n\n[[package]]\nname = "lightning"\nversion = "2.4.0"\n'}, "2.4.0"),
        ({"uv.lock": "not toml ["}, "2.6.6"),
        ({"pyproject.toml": "[project\n"}, "2.6.6"),
    ],
)
def test_the_version_that_a_project_runs_with(tmp_path: Path, files: dict[str, str], version: str) -> None:
    make_environment(tmp_path / ".venv", {"lightning": "2.6.6"})
    write_files(tmp_path, files)
    environments = Surroundings().environments(tmp_path, tmp_path)
    assert installed_version("lightning", Settings(), (tmp_path,), environments) == version
    assert installed_version("pytorch_lightning", Settings(), (tmp_path,), environments) == version
    configured = Settings(lightning_version="1.5")
    assert installed_version("lightning", configured, (tmp_path,), environments) == "1.5"


@pytest.mark.parametrize(
    ("requirement", "version"),
    [
        ("lightning<2", "1.9.5"),
        ("pytorch-lightning>=1.6,<1.8", "1.7.7"),
        ("lightning~=2.1", "2.6.6"),
        ("lightning>=2", None),
        ("lightning", None),
    ],
)
def test_an_upper_bound_tells_where_nothing_is_installed(tmp_path: Path, requirement: str, version: str | None) -> None:
    write_files(tmp_path, {"requirements.txt": requirement})
    assert installed_version("lightning", Settings(), (tmp_path,), ()) == version


def test_poetry_carets(tmp_path: Path) -> None:
    write_files(tmp_path, {"pyproject.toml": '[tool.poetry.dependencies]\npytorch-lightning = "^1.6"\n'})
    assert installed_version("lightning", Settings(), (tmp_path,), ()) == "1.9.5"


def test_an_environment_outside_the_projects_bounds_tells_nothing(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {"lightning": "2.6.6"})
    write_files(tmp_path, {"requirements.txt": "pytorch-lightning>=1.7,<2.0.0"})
    environments = Surroundings().environments(tmp_path, tmp_path)
    assert installed_version("lightning", Settings(), (tmp_path,), environments) == "1.9.5"
