"""Everything that a release needs, in order, up to the publishing itself: `make release-check`.

It stops at the first thing that is not right and says what to do. At the end all artefacts lie in dist/, tested and
with their checksums, and the commands that publish them are printed, not run.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import tomllib
from tools.bundle_server import PLATFORMS, this_platform

REPOSITORY = Path(__file__).resolve().parents[1]
DIST = REPOSITORY / "dist"


def main() -> None:
    version = same_version()
    told_in_changelog(version)
    nothing_uncommitted()
    not_released(version)
    run("make", "docs")
    nothing_uncommitted()
    run("make", "test")
    run("make", "package")
    others = [f"dist/gradsense-{target}.vsix" for target in PLATFORMS if target != this_platform()]
    run("make", *others)
    (DIST / "gradsense.vsix").replace(DIST / f"gradsense-{this_platform()}.vsix")
    run("make", "sbom")
    artefacts = sorted(path for path in DIST.iterdir() if path.suffix in (".whl", ".gz", ".vsix", ".json"))
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in artefacts)
    (DIST / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(f"\ndist/ is ready:\n{sums}\nTo publish {version}:")
    print(f"  git tag -s v{version} && git push origin v{version}")
    print(f"  python -m twine upload dist/gradsense-{version}*")
    print("  npx vsce publish --packagePath dist/*.vsix && npx ovsx publish --packagePath dist/*.vsix")


def same_version() -> str:
    """The version, the same wherever it stands."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    extension = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))["version"]
    if project != extension:
        sys.exit(f"pyproject.toml says {project} and package.json {extension}: make them the same.")
    return str(project)


def told_in_changelog(version: str) -> None:
    """The changelog has a dated section for it, and nothing waits above."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        sys.exit(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`: move what is unreleased there.")
    waiting = re.search(r"^## \[Unreleased\]\n(.*?)^## ", changelog, re.MULTILINE | re.DOTALL)
    if waiting is not None and waiting[1].strip():
        sys.exit(f"CHANGELOG.md has unreleased changes above {version}: move them into its section.")


def nothing_uncommitted() -> None:
    if output("git", "status", "--porcelain"):
        sys.exit("There are changes that are not committed: commit them, or put them away.")


def not_released(version: str) -> None:
    if output("git", "tag", "--list", f"v{version}"):
        sys.exit(f"v{version} is tagged already: raise the version.")


def run(*command: str) -> None:
    print("==>", *command, flush=True)
    if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
        sys.exit(f"`{' '.join(command)}` failed; its output says why.")


def output(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
