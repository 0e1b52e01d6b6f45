"""What a release is made of, as CycloneDX 1.6: `make sbom` writes `dist/gradsense.cdx.json`.

The libraries of the extension's server, from `tools/bundled.txt`, and the npm packages in its script. Names of
licences come from the bundle's metadata, as far as it is there. Equal locks make equal files.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import Any

import tomllib
from tools.bundle_server import BUNDLED, LOCK, REPOSITORY, Pin, pins

SBOM = REPOSITORY / "dist" / "gradsense.cdx.json"


def main() -> None:
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(sbom(), indent=2) + "\n", encoding="utf-8")
    print(SBOM.relative_to(REPOSITORY))


def sbom() -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = _component("pypi", "gradsense", project["version"], "application", licence=project["license"])
    parts = sorted([*_python_parts(), *_npm_parts()], key=lambda part: str(part["bom-ref"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": parts,
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }


def _python_parts() -> Iterator[dict[str, Any]]:
    folders = [str(folder) for folder in sorted(BUNDLED.glob("*")) if folder.is_dir()]
    bundled = {each.name.lower().replace("_", "-"): each for each in distributions(path=folders)}
    for pin in pins(LOCK.read_text(encoding="utf-8")):
        hashes = [{"alg": "SHA-256", "content": each.removeprefix("sha256:")} for each in pin.hashes]
        library = bundled.get(pin.name.lower().replace("_", "-"))
        part = _component("pypi", pin.name, _version(pin), "library", licence=_licence(library) if library else None)
        if len(hashes) == 1:
            part["hashes"] = hashes
        else:  # one wheel for each platform and Python: the part is any of them
            part["components"] = [
                {"type": "file", "name": f"{pin.name} wheel {number}", "hashes": [each]}
                for number, each in enumerate(hashes, start=1)
            ]
        yield part


def _version(pin: Pin) -> str:
    return next(iter(pin.specifier)).version


def _licence(library: Distribution) -> str | None:
    metadata = library.metadata
    found = metadata.get("License-Expression") or metadata.get("License")
    if found and "\n" not in found:
        return str(found)
    names = [each.rpartition("::")[2].strip() for each in metadata.get_all("Classifier") or () if "License ::" in each]
    return " AND ".join(names) or None


def _npm_parts() -> Iterator[dict[str, Any]]:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for path, package in lock.items():
        if path and not package.get("dev"):
            name = path.rpartition("node_modules/")[2]
            part = _component("npm", name, package["version"], "library", licence=package.get("license"))
            algorithm, _, digest = package["integrity"].partition("-")
            content = base64.b64decode(digest).hex()
            part["hashes"] = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}]
            yield part


def _component(kind: str, name: str, version: str, type_: str, licence: str | None) -> dict[str, Any]:
    address = f"pkg:{kind}/{name.replace('@', '%40')}@{version}"
    part: dict[str, Any] = {"type": type_, "bom-ref": address, "name": name, "version": version, "purl": address}
    if licence is not None:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


if __name__ == "__main__":
    main()
