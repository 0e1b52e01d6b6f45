"""The list of what a release is made of."""

from __future__ import annotations

import json
from pathlib import Path

from tools.bundle_server import LOCK, pins
from tools.sbom import sbom

ROOT = Path(__file__).parents[2]


def test_it_names_every_part() -> None:
    made = sbom()
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    addresses = {part["purl"] for part in made["components"]}
    assert {f"pkg:pypi/{pin.name}@{next(iter(pin.specifier)).version}" for pin in pins(LOCK.read_text())} <= addresses
    dependencies = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert {f"pkg:npm/{name}@{version}" for name, version in dependencies.items()} <= addresses
    assert not any(address.startswith("pkg:npm/esbuild@") for address in addresses)


def test_each_reference_is_there_once_and_each_hash_has_its_length() -> None:
    made = sbom()
    references = [made["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in made["components"])]
    assert len(references) == len(set(references))
    assert {each["ref"] for each in made["dependencies"]} == set(references)
    files = [part for each in made["components"] for part in (each, *each.get("components", ()))]
    hashes = [found for each in files for found in each.get("hashes", ())]
    lengths = {"SHA-256": 64, "SHA-512": 128}
    assert hashes
    assert all(len(each["content"]) == lengths[each["alg"]] for each in hashes)


def test_equal_locks_make_equal_files() -> None:
    assert sbom() == sbom()
