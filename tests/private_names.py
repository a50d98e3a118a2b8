"""Search for private names of other modules in the code of tests."""

import ast
from collections.abc import Iterable
from pathlib import Path

_PATCHES = {"setattr", "delattr", "getattr", "patch", "object", "multiple"}


def private_uses(path: Path, methods: dict[str, set[str]]) -> set[str]:
    """Private names of other modules that a file uses; `methods` are those of each class of ours.

    A name that the file defines counts as its own.
    """
    nodes = list(ast.walk(ast.parse(path.read_text())))
    own = {name for node in nodes for name in defined(node)}
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr not in own:
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.ClassDef):
            inherited = {name for base in bases(node) for name in methods.get(base, ())}
            found |= inherited & {name for each in node.body for name in defined(each)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _PATCHES:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found |= {str(text).rpartition(".")[2] for text in texts}
            found |= {str(keyword.arg) for keyword in node.keywords}
    return set(filter(is_private, found))


def private_methods(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Private methods of each class of the product, with those that it inherits."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}

    def methods(name: str, below: tuple[str, ...] = ()) -> set[str]:
        if name not in classes or name in below:
            return set()
        mine = {found for each in classes[name].body for found in defined(each)}
        inherited = [methods(base, (*below, name)) for base in bases(classes[name])]
        return set(filter(is_private, mine)).union(*inherited)

    return {name: methods(name) for name in classes}


def defined(node: ast.AST) -> set[str]:
    """Name that a statement or an expression defines: function, class, variable, attribute."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return {node.attr} if ast.unparse(node.value) == "self" else set()
    return set()


def bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"
