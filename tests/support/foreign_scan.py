"""A scan of the source for names of Celery, kombu, redis-py and uvicorn that are overridden, replaced or private."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import ROOT

ROOMS = ("callbacks", "client", "config", "ops", "sandbox", "status", "store", "tasks", "wechat", "worker")
#: Celery with the parts of it that have packages of their own, redis-py, and uvicorn
FOREIGN = ("amqp", "billiard", "celery", "flower", "kombu", "redis", "tornado", "uvicorn", "vine")
#: names of a NamedTuple that begin with an underscore, and are public
OF_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
#: an object's own attributes are reached by way of these
OURSELVES = ("self", "cls", "super()")


class Found(NamedTuple):
    """A foreign name, as ``module:Class.member`` or ``module:name``, and the place where it is used."""

    name: str
    where: str


class Module:
    """One module of this repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        #: what each imported name stands for: a module, or ``module:name``
        self.imports: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = _named(node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
        self.classes = {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}
        #: names with an underscore that this module makes itself
        self.own = {name for node in ast.walk(self.tree) for name in _bound(node) if name.startswith("_")}

    def where(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"

    def meant(self, node: ast.expr) -> str:
        """Return what a dotted name stands for, or ''."""
        parts = ast.unparse(node).split(".")
        known = self.imports.get(parts[0], "")
        for part in parts[1:] if known else ():
            known = f"{known}.{part}" if ":" in known else _named(known, part)
        return known


def _named(module: str, name: str) -> str:
    """Return the module ``module.name``, or ``module:name`` if that is none."""
    if module.partition(".")[0] not in (*FOREIGN, *ROOMS):
        return f"{module}:{name}"
    try:
        is_module = importlib.util.find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        is_module = False
    return f"{module}.{name}" if is_module else f"{module}:{name}"


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
        yield node.attr


@cache
def modules() -> dict[str, Module]:
    """Return the modules of all rooms, by name."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part not in ("client", "__init__"))] = Module(path)
    return found


def is_foreign(name: str) -> bool:
    return re.split(r"[.:]", name)[0] in FOREIGN


def value_of(name: str) -> Any:
    """Return the object that ``module:Class.member`` names; for an attribute that is only set on ``self``, its name.

    Raises:
        LookupError: there is no such object.
    """
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        # a module may load what it names at the first use; in a class, a property is not to run
        look: Any = inspect.getattr_static if inspect.isclass(found) else getattr
        parent: Any = found
        found = look(parent, part, None)
        if found is None and not hasattr(parent, part):
            cls: Any = parent
            if inspect.isclass(parent) and part in _set_on_self(cls):
                return part
            raise LookupError(name)
    return found


def form(name: str) -> str:
    """Return the parameters of a foreign function, or the type of what else the name stands for."""
    found = value_of(name)
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    if not callable(found) or inspect.isclass(found):
        return type(found).__name__
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(f"{marks.get(one.kind, '')}{one.name}" for one in inspect.signature(found).parameters.values())


@cache
def _set_on_self(of: Any) -> set[str]:
    """Return the attributes that a class, or a class above it, sets on ``self``."""
    found: set[str] = set()
    for cls in of.__mro__:
        try:
            found |= set(re.findall(r"\bself\.(\w+)(?:,[^=\n]*)?(?::[^=\n]+)? = ", inspect.getsource(cls)))
        except (OSError, TypeError):
            continue
        found |= set(getattr(cls, "__slots__", ()))
    return found


def foreign_bases(module: Module, cls: ast.ClassDef) -> Iterator[str]:
    """Yield the foreign classes that a class is made from, also by way of others of this repository."""
    for base in cls.bases:
        meant = module.meant(base)
        if is_foreign(meant) and ":" in meant:
            yield meant
        elif ast.unparse(base) in module.classes:
            yield from foreign_bases(module, module.classes[ast.unparse(base)])
        elif (own := modules().get(meant.partition(":")[0])) and (name := meant.partition(":")[2]) in own.classes:
            yield from foreign_bases(own, own.classes[name])


def _has(base: str, member: str) -> bool:
    try:
        value_of(f"{base}.{member}")
    except LookupError:
        return False
    return not hasattr(object, member)


def scan() -> Iterator[Found]:
    """Yield each foreign name that is overridden, replaced or private, at each place."""
    for module in modules().values():
        for cls in module.classes.values():
            bases = list(foreign_bases(module, cls))
            for base in bases:
                yield from _of_class(module, cls, base)
        for node in ast.walk(module.tree):
            yield from _of_statement(module, node)


def _of_class(module: Module, cls: ast.ClassDef, base: str) -> Iterator[Found]:
    """Yield what a class overrides of a foreign one, and what it reaches in it by a private name."""
    for node in cls.body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
        if isinstance(node, ast.Assign | ast.AnnAssign):
            names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        for name in names:
            if _has(base, name):
                yield Found(f"{base}.{name}", module.where(node))
    for at in ast.walk(cls):
        if not isinstance(at, ast.Attribute) or ast.unparse(at.value) not in OURSELVES:
            continue
        if re.match("_[^_]", at.attr) and _has(base, at.attr):
            yield Found(f"{base}.{at.attr}", module.where(at))


def _of_statement(module: Module, node: ast.AST) -> Iterator[Found]:
    """Yield what is imported by a private name, reached in another object by one, or replaced in a foreign module."""
    if isinstance(node, ast.ImportFrom) and node.module and is_foreign(node.module):
        for alias in node.names:
            if re.search(r"(^|[.:])_", f"{node.module}:{alias.name}"):
                yield Found(f"{node.module}:{alias.name}", module.where(node))
    elif isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
        if ast.unparse(node.value) not in OURSELVES and node.attr not in module.own | OF_TUPLES:
            yield Found(f"{module.meant(node.value)}.{node.attr}", module.where(node))
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            changed = target.value if isinstance(target, ast.Subscript) else target
            is_inside = isinstance(changed, ast.Attribute) or isinstance(target, ast.Subscript)
            if is_inside and isinstance(changed, ast.Attribute | ast.Name) and is_foreign(module.meant(changed)):
                yield Found(module.meant(changed), module.where(node))
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and is_foreign(module.meant(node.args[0])):
        yield Found(f"{module.meant(node.args[0])}:{ast.literal_eval(node.args[1])}", module.where(node))
