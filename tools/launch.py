"""Starts the server that is bundled with the VS Code extension: `python -I -S launch.py server --stdio`."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    """Look for modules in the bundle first, and never in that Python's site-packages."""
    compiled = os.path.join(HERE, "cp{}{}".format(*sys.version_info[:2]))
    if not os.path.isdir(compiled):
        versions = ", ".join(sorted(name for name in os.listdir(HERE) if name.startswith("cp")))
        sys.exit(
            "The bundled GradSense server runs on {}, and {} is Python {}.{}. Put another Python first "
            "on PATH, or set gradsense.server.path to one with GradSense installed.".format(
                versions, sys.executable, *sys.version_info[:2]
            )
        )
    sys.path[:0] = [os.path.join(HERE, "python"), compiled]
    from gradsense.cli.main import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
