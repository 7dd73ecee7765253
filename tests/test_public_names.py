"""What users write is a promise: the public names and how they are called, in `signatures.txt`.

A change on purpose is written down by `uv run --group dev python tests/test_public_names.py`.
"""

import inspect
from pathlib import Path

import ntk_rnn as nr

# What Flax adds to every module, which is not ours to promise.
_FLAX = {"name", "parent", "scope"}
_FILE = Path(__file__).with_name("signatures.txt")


def promised() -> list[str]:
    lines = []
    for prefix, module in (("", nr), ("data.", nr.data)):
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            lines.append(f"{prefix}{name}{_call(thing)}")
            if inspect.isclass(thing):
                lines += [f"{prefix}{name}.{member}" for member in _members(thing)]
    return lines


def _call(thing) -> str:
    """How a thing is called, without annotations; nothing for modules, constants and errors."""
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, Exception)):
        return ""
    shown = []
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.name not in _FLAX:
            text = str(parameter.replace(annotation=inspect.Parameter.empty))
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in shown:
                shown.append("*")
            shown.append(text)
    return f"({', '.join(shown)})"


def _members(kind: type) -> list[str]:
    """The public members that a class itself defines, its methods with their signatures."""
    return [
        name + (_call(member) if inspect.isfunction(member) else "")
        for name, member in sorted(vars(kind).items())
        if not name.startswith("_") and name not in _FLAX
    ]


def test_public_names_and_signatures_are_those_promised():
    assert promised() == _FILE.read_text(encoding="utf-8").splitlines()


def test_every_public_name_is_listed_by_dir():
    assert set(nr.__all__) <= set(dir(nr))


if __name__ == "__main__":
    _FILE.write_text("\n".join(promised()) + "\n", encoding="utf-8")
