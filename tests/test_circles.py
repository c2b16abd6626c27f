"""Modules import one way: a circle hidden by an import inside a function is found too; the accepted ones are named."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bayesmeta.resources import PACKAGE

ACCEPTED = {
    # A mixture is written in text, and text is made of mixtures: one grammar in four files.
    frozenset({"priors.combine", "priors.foreign", "priors.mixtures", "priors.text"}),
    # A comparison prints itself as its table.
    frozenset({"compare.table", "compare.values"}),
}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(node: ast.AST, package: str, known: set[str]) -> Iterator[str]:
    """Yield the modules that a tree imports from the package, inside functions too, but not for type checkers alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (a.name.removeprefix(f"{package}.") for a in node.names if a.name.startswith(f"{package}."))
    if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}."):
        base = node.module.removeprefix(package).lstrip(".")
        for alias in node.names:
            module = f"{base}.{alias.name}".lstrip(".")
            yield module if module in known else base
    for child in ast.iter_child_nodes(node):
        yield from imports(child, package, known)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Return which modules of a package each of them imports."""
    paths = {module_name(p, root): p for p in root.rglob("*.py") if not {"_models", "_data"} & set(p.parts)}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    return {name: set(imports(tree, root.name, set(paths))) & set(paths) - {name} for name, tree in trees.items()}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of modules that reach each other."""
    reach = {name: set(targets) for name, targets in graph.items()}
    for middle in graph:
        for targets in reach.values():
            targets.update(reach[middle] if middle in targets else ())
    return {frozenset(b for b in graph if b in reach[a] and a in reach[b]) for a in graph if a in reach[a]}


def test_no_circle_but_the_named_ones():
    """No module of the package reaches itself through what it imports, except in the circles named here."""
    graph = import_graph(PACKAGE)
    assert len(graph) > 200
    assert circles(graph) == ACCEPTED


@pytest.mark.parametrize("inside", [False, True])
def test_a_circle_is_seen_inside_functions_too(tmp_path, inside):
    """Two files that import each other are a circle, wherever in them the import stands."""
    root = tmp_path / "made"
    root.mkdir()
    (root / "a.py").write_text("from made.b import x\n")
    (root / "b.py").write_text("def f():\n    import made.a\n" if inside else "from made import a\n")
    (root / "c.py").write_text("from made.a import x\n")
    assert circles(import_graph(root)) == {frozenset({"a", "b"})}
