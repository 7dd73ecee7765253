"""``python -m ntk_rnn.guide [FOLDER]``: this documentation as a web site, in ``build/site``."""

import importlib.util
import sys
from pathlib import Path

from ntk_rnn.guide._site import build, problems


def main() -> int:
    """Builds the site; 1 if anything in it is broken, 2 if it cannot be built."""
    needed = ("latex2mathml", "nbconvert", "pdoc")
    missing = [name for name in needed if not importlib.util.find_spec(name)]
    if missing:
        print(f"the site needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        return 2
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/site")
    found = [*build(folder), *problems(folder)]
    print("\n".join([*found, f"{folder / 'index.html'}: {len(found) or 'no'} problems"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
