"""Who may import whom. Imports point one way: to the same row or to a row above."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import iceye_async

ROOT = Path(iceye_async.__file__).parent

ROWS = [
    [
        *["_version", "protocol.links"],
        *["display.text", "display.markup", "display.cell", "display.livecard"],
    ],
    ["errors"],
    ["models", "holdings", "display.ground", "display.cards"],
    ["protocol"],
    ["clock", "limits", "watch", "events", "repeats", "tracing", "exchange", "auth", "pulse", "session"],
    [
        *["resources", "pending", "looks", "waits", "downloads"],
        *["display.account", "display.shelf", "display.found", "display.waitcard"],
    ],
    ["batch"],
    ["client"],
    ["detections", "geo", "pictures", "notebook"],
    ["__init__"],
    ["display"],
    ["cli", "__main__", "pytest_plugin"],
]
STANDS_ASIDE = "sandbox"
PURE = {"aiohttp", "asyncio", "random", "time", "os", "pathlib", "socket", "ssl", "threading", "sqlite3", "yarl"}
FOREIGN = {
    "batch": {"attrs", "pandas"},
    "models": {"attrs"},
    "models.product": {"attrs", "pystac"},
    "models.stac": {"pystac"},
    "holdings": {"attrs"},
    "detections": {"attrs"},
    "geo": {"geopandas", "pandas", "pyproj", "shapely"},
    "notebook": {"matplotlib"},
    "pictures": {"attrs", "matplotlib", "mpl_toolkits", "numpy", "PIL", "shapely", "IPython"},
    "errors": set(),
    "display": {"attrs", "rich"},
    **dict.fromkeys(
        ["display.text", "display.markup", "display.ground", "display.cards", "display.waitcard"], frozenset()
    ),
    "display.cell": {"IPython"},
    "protocol": {"attrs", "cattrs", "backoff"},
    "pytest_plugin": {"pytest", "pytest_asyncio"},
    "sandbox": {"attrs", "aiohttp"},
    "cli": {"attrs", "click", "rich"},
    "client": {"aiohttp", "obstore"},
    "downloads": {"aiohttp", "attrs", "obstore", "yarl"},
    "tracing": {"aiohttp", "opentelemetry", "yarl"},
}
EVERYWHERE = {"attrs", "aiohttp", "yarl", "backoff"}


@cache
def modules() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in ROOT.rglob("*.py")
    )


@cache
def tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))


@cache
def imports(module: str) -> tuple[set[str], set[str]]:
    """The modules of this package and the top-level foreign ones that a module imports, wherever in it."""
    is_package = ROOT.joinpath(*module.split(".")).is_dir()
    own, foreign = set(), set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            foreign |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            foreign.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: len(module.split(".")) - node.level + is_package]
            target = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            names = [f"{target}.{alias.name}" if target else alias.name for alias in node.names]
            own |= {name if name in modules() else target or "__init__" for name in names}
    return own, foreign - {"__future__", *sys.stdlib_module_names}


def row(module: str) -> int:
    matches = [
        (len(name), index)
        for index, names in enumerate(ROWS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    assert matches, f"{module} stands in no row"
    return max(matches)[1]


LAYERED = [module for module in modules() if not module.startswith(STANDS_ASIDE)]


@pytest.mark.parametrize("module", LAYERED)
def test_a_module_imports_only_from_its_own_row_or_from_above(module: str) -> None:
    own, _ = imports(module)

    below = {name for name in own if not name.startswith(STANDS_ASIDE) and row(name) > row(module)}

    assert not below


def test_nobody_but_the_command_line_and_the_pytest_plugin_imports_the_sandbox() -> None:
    importers = {module for module in LAYERED if any(name.startswith(STANDS_ASIDE) for name in imports(module)[0])}

    assert {name.partition(".")[0] for name in importers} == {"cli", "pytest_plugin"}


def test_the_sandbox_takes_nothing_from_the_client_but_the_client_itself() -> None:
    """A witness that shared our models would repeat our mistakes."""
    taken = {
        module: {name for name in imports(module)[0] if not name.startswith(STANDS_ASIDE)}
        for module in modules()
        if module.startswith(STANDS_ASIDE)
    }

    assert {module: names for module, names in taken.items() if names} == {"sandbox.server": {"__init__"}}


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("protocol")])
def test_the_core_decides_and_does_nothing_else(module: str) -> None:
    source = {
        name
        for node in ast.walk(tree(module))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }

    assert not {name.partition(".")[0] for name in source} & PURE


@pytest.mark.parametrize("module", modules())
def test_foreign_packages_come_in_where_they_belong(module: str) -> None:
    allowed = FOREIGN.get(module, FOREIGN.get(module.partition(".")[0], EVERYWHERE))

    assert imports(module)[1] <= allowed


@pytest.mark.parametrize("module", ["iceye_async", "iceye_async.display.progress"])
def test_importing_the_package_pulls_in_nothing_optional(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.decode().split()
    )

    assert (
        not {
            "rich",
            "IPython",
            "click",
            "opentelemetry",
            "pystac",
            "geopandas",
            "obstore",
            "pandas",
            "pyogrio",
            "pyproj",
            "shapely",
            "numpy",
            "matplotlib",
            "sqlite3",
            "iceye_async.sandbox",
            "iceye_async.cli",
        }
        & loaded
    )


def test_public_names_are_sorted_and_exist() -> None:
    names = iceye_async.__all__

    assert list(names) == sorted(names)
    assert all(hasattr(iceye_async, name) for name in names)


def test_the_package_exports_its_names_and_nothing_else() -> None:
    body = tree("__init__").body

    assert all(isinstance(node, ast.ImportFrom | ast.Assign | ast.Expr) for node in body)
    imported = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(iceye_async.__all__)
