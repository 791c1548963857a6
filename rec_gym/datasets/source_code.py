"""A hash of the source code that a loader depends on, without running any of it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_OWN = "rec_gym.datasets"  # the rest of this package is covered by its version


def source_hash(function: Callable) -> str:
    """SHA-256 of the loader's module and of all modules of its package that it imports, directly or not.

    So an edited loader never serves data that it converted before the edit, and an edit elsewhere makes nothing stale. The
    package is the top-level package of the loader's module; for this package, only `rec_gym.datasets`. Imports are read
    from the source, wherever they are in a file; imports by a computed name are not seen.

    Returns:
        Hex digits; empty if the loader has no source code.
    """
    name = inspect.unwrap(function).__module__
    scope = _OWN if name.startswith(f"{_OWN}.") else name.partition(".")[0]
    waiting, files = [name], dict[str, Path]()
    while waiting:
        module = waiting.pop()
        path = _file_of(module, scope)
        if path is not None and module not in files:
            files[module] = path
            waiting += [module.rpartition(".")[0], *_imported(path, module)]
    digest = hashlib.sha256()
    for module, path in sorted(files.items()):
        digest.update(module.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest() if files else ""


def _file_of(module: str, scope: str) -> Path | None:
    """The source file of a module within `scope`; None if there is none."""
    if module != scope and not module.startswith(f"{scope}."):
        return None
    root = sys.modules.get(scope)
    inner = module.split(".")[len(scope.split(".")) :]
    if not inner and not hasattr(root, "__path__"):  # a module outside any package
        own = getattr(root, "__file__", None)
        return Path(own) if own and own.endswith(".py") else None
    for folder in getattr(root, "__path__", ()):
        place = Path(folder, *inner)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


def _imported(path: Path, module: str) -> Iterator[str]:
    """The names that a source file may import as modules; not all of them are modules."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # it is being edited; its bytes still count
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
