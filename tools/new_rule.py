"""Begin a rule: `make rule NAME=its-name FAMILY=its-folder` writes its file, with the next free code of the family."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from gradsense.rules.registry import all_rules

RULES = Path(__file__).resolve().parents[1] / "server" / "gradsense" / "rules"

_TEMPLATE = '''\
"""{code}."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program.facts import Step
from gradsense.program.program import Program
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Trains


class {class_name}(Rule):
    """One sentence on what the program does, and shouldn't.

    ## What it does

    Reports ...

    ## Why it matters

    ...

    ## Stays silent when

    - ...

    ## References

    - [torch.optim](https://docs.pytorch.org/docs/2.13/optim.html)
    """

    code, name, severity = "{code}", "{name}", Severity.INFORMATION
    on_by_default = False  # until its findings on public repositories have been read

    def check(self, program: Program) -> Iterator[Finding]:
        for _, step in program.runs_with_facts(Step):
            place = program.place(step.site)
            if place is not None:
                yield from self.finding(place, f"`{{place.code()}}` does this when it runs. Do that instead.")

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            optimizer.step()
        #   ^^^^^^^^^^^^^^^^ {code}
            """,
            shows=NothingMoves(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            """,
        ),
    ]
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what the finding is called: words with dashes")
    parser.add_argument("family", nargs="?", default="", help="a folder of rules/")
    options = parser.parse_args()
    path, text = new_rule(options.name, options.family)
    path.write_text(text, encoding="utf-8")
    sys.stdout.write(
        f"{path.relative_to(RULES.parents[2])} is made. Next: its examples, its docstring, its check;\n"
        f"`pytest tests/rules -k {path.stem}` runs the examples under torch, `make docs` writes its page.\n"
    )


def new_rule(name: str, family: str) -> tuple[Path, str]:
    """Where a rule's file goes, and its text. Raises SystemExit for what can't be one."""
    families = sorted(folder.name for folder in RULES.iterdir() if (folder / "__init__.py").is_file())
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+", name):
        sys.exit(f"`{name}` is no name of a rule: two or more words with dashes, such as `step-missing`.")
    if family not in families:
        sys.exit(f"FAMILY is one of {', '.join(families)}.")
    rules = list(all_rules())
    if any(rule.name == name for rule in rules):
        sys.exit(f"There is a rule `{name}` already.")
    code = max(rule.code for rule in rules if rule.__module__.split(".")[2] == family)
    code = f"GS{int(code.removeprefix('GS')) + 1}"
    class_name = "".join(word.capitalize() for word in name.split("-"))
    path = RULES / family / f"{name.replace('-', '_')}.py"
    return path, _TEMPLATE.format(code=code, name=name, class_name=class_name)


if __name__ == "__main__":
    main()
