"""The shape of the source tree: what may import what, names, sizes, and no pickle.

The rules are section 1 of the design: ops <- layers <- models <- tasks, and so on. They are checked on
syntax trees, so imports inside functions count like any other. Under TYPE_CHECKING they count too, but
for one: train may name the contract of the tasks that it receives.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "striate"

FOUNDATION = {  # root modules that anything may import, and what they import themselves
    "errors": set(),
    "samples": {"errors"},
    "text_files": {"errors"},
    "recipe": {"errors", "text_files"},
    "files": {"errors"},
    "download": {"errors", "files"},
    "runtime": {"errors"},
}
ALLOWED = {  # what each package imports, beside itself and the foundation; the rest is free
    "ops": set(),
    "layers": {"ops"},
    "models": {"ops", "layers"},
    "tasks": {"ops", "layers", "models", "metrics"},
    "data": {"ops"},
    "metrics": {"ops"},
    "train": {"ops", "layers", "metrics"},
    "explain": {"ops", "layers"},
    "export": {"ops", "layers"},
    "cost": {"ops", "layers"},
}
SHARED_BY_TASKS = ("task", "classifier", "wordtree", "drawing")
NAMED_IN_ANNOTATIONS = {"train": ("tasks", "task")}
FORBIDDEN_NAMES = {"utils", "util", "misc", "helpers", "helper", "common", "manager"}
READS_PTH = Path("models/weight_files.py")  # the one place where torch.load may be called, and only safely
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
MOST_LINES, MOST_FUNCTION_LINES, MOST_ARGUMENTS = 400, 50, 10


def violations(root: Path) -> list[str]:
    """Every breach of the rules in the package at ``root``, as "file:line: what"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root)
        text = path.read_text()
        tree = ast.parse(text)
        breaches = [
            *names(file),
            *directions(root.name, file, tree),
            *pickles(file, tree),
            *sizes(file, text, tree),
        ]
        found += [f"{file.as_posix()}:{line}: {what}" for line, what in breaches]
    return found


def names(file: Path) -> Iterator[tuple[int, str]]:
    for part in file.with_suffix("").parts:
        if part in FORBIDDEN_NAMES:
            yield 1, f"a module named {part} says nothing"


def directions(package: str, file: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports against the direction, where ``file`` is relative to the root of ``package``."""
    here = file.with_suffix("").parts
    for node, module in imported_modules(package, file, tree):
        there = tuple(module.split(".")[1:])
        if module.split(".")[0] != package or not there or may_import(here, there):
            continue
        if node not in for_annotations(tree) or there[:2] != NAMED_IN_ANNOTATIONS.get(here[0]):
            yield node.lineno, f"{here[0]} must not import {module}"


def for_annotations(tree: ast.AST) -> list[ast.AST]:
    """All nodes under ``if TYPE_CHECKING:``."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    chosen = [block for block in blocks if ast.unparse(block.test).endswith("TYPE_CHECKING")]
    return [node for block in chosen for line in block.body for node in ast.walk(line)]


def may_import(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    """Whether the module at path ``here`` may import the one at ``there``, both below the package."""
    if there[0] == "cli":
        return here[0] in ("cli", "__main__")
    if here[0] == there[0] == "tasks":
        return here[1] == "__init__" or len(there) == 1 or there[1] in (*SHARED_BY_TASKS, here[1])
    if here[0] in FOUNDATION:
        return there[0] in FOUNDATION[here[0]]
    if here[0] == there[0] or there[0] in FOUNDATION or here[0] not in ALLOWED:
        return True
    return there[0] in ALLOWED[here[0]]


def imported_modules(package: str, file: Path, tree: ast.AST) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """(node, full name) of everything that ``file`` imports, relative and by import_module included."""
    folder = [package, *file.parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from striate import tasks` imports striate.tasks
                yield node, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and called(node).split(".")[-1] in ("import_module", "__import__"):
            yield from ((node, text.value) for text in node.args[:1] if isinstance(text, ast.Constant))


def pickles(file: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Whatever could run code from a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            modules = []
        for module in modules:
            if module.split(".")[0] in PICKLES:
                yield node.lineno, f"{module} runs code from files"
        if isinstance(node, ast.Call):
            yield from unsafe_call(file, node)


def unsafe_call(file: Path, node: ast.Call) -> Iterator[tuple[int, str]]:
    name = called(node)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("torch.load", "torch.hub.load", "yaml.load", "yaml.unsafe_load"):
        if (name, file, options.get("weights_only")) != ("torch.load", READS_PTH, "True"):
            yield node.lineno, f"{name} runs code from files"
    elif name == "torch.save":
        yield node.lineno, "torch.save writes a pickle; tensors go to safetensors"
    elif options.get("allow_pickle", "False") != "False":
        yield node.lineno, f"{name} with allow_pickle runs code from files"


def sizes(file: Path, text: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    lines = len(text.splitlines())
    if lines > MOST_LINES:
        yield 1, f"{lines} lines are more than {MOST_LINES}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MOST_FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {length} lines, more than {MOST_FUNCTION_LINES}"
        arguments = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        if arguments > MOST_ARGUMENTS and file.parts[0] != "cli":  # a command has its flags
            yield node.lineno, f"{node.name} takes {arguments} arguments, more than {MOST_ARGUMENTS}"


def called(node: ast.Call) -> str:
    """What is called, as written: "torch.load"."""
    return ast.unparse(node.func)


def test_the_source_keeps_to_the_design():
    found = violations(SOURCE)
    assert not found, "\n".join(found)


def test_the_source_was_found():
    assert len(list(SOURCE.rglob("*.py"))) > 10


IF_TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


def plant(root: Path, files: dict[str, str]) -> Path:
    package = root / "striate"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ops/boxes.py", "import striate.layers.convolution"),
        ("ops/boxes.py", "from striate import layers"),
        ("layers/pooling.py", "from striate.models.lenet import LeNet"),
        ("layers/pooling.py", "from ..models import lenet"),
        ("layers/pooling.py", "def pool():\n    from striate.models import lenet"),
        (
            "models/lenet.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import striate.tasks.task",
        ),
        ("models/lenet.py", "import importlib\nimportlib.import_module('striate.tasks.task')"),
        ("models/deep/net.py", "from ...tasks import classification"),
        ("tasks/classification.py", "from striate.data.loader import Loader"),
        ("tasks/classification.py", "from striate.tasks.localization import Localization"),
        ("tasks/classification.py", "from . import localization"),
        ("tasks/detection/yolo.py", "from striate.tasks.segmentation.fcn import FCN"),
        ("tasks/detection/yolo.py", "from ..classification import Classifier"),
        ("data/loader.py", "from striate.models.catalog import create_model"),
        ("data/loader.py", "from striate.layers import Conv2d"),
        ("metrics/classification.py", "from striate.data import loader"),
        ("train/loop.py", "from striate.tasks.task import Task"),
        ("train/fit.py", "import striate.models as networks"),
        ("train/fit.py", "from striate.data.loader import Loader"),
        ("explain/grad_cam.py", "from striate.models.resnet import ResNet"),
        ("errors.py", "from striate.samples import Frame"),
        ("recipe.py", "from striate.train.optimizer import build"),
        ("runtime.py", "import striate.files"),
        ("run.py", "from striate.cli.output import print_table"),
        ("serve/app.py", "from ..cli import output"),
    ],
)
def test_an_import_against_the_direction_is_found(tmp_path, file, text):
    (breach,) = violations(plant(tmp_path, {file: text}))
    assert breach.startswith(f"{file}:")
    assert "must not import striate." in breach


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ops/boxes.py", "import torch\nfrom striate.ops.padding import same\nfrom . import padding"),
        ("layers/pooling.py", "from striate.ops import padding\nfrom ..ops.padding import same"),
        (
            "models/lenet.py",
            "from striate.layers import Conv2d\nfrom striate.models.backbone import Backbone",
        ),
        (
            "tasks/classification.py",
            "from striate.tasks.task import Task\nfrom striate.metrics import accuracy",
        ),
        ("tasks/detection/yolo.py", "from striate.tasks.detection import anchors\nfrom . import ssd"),
        ("tasks/__init__.py", "from striate.tasks import classification"),
        ("train/loop.py", "from striate.samples import Batch\nfrom striate.files import write_text"),
        ("run.py", "from striate.models import catalog\nfrom striate.tasks import task\nimport striate.data"),
        ("cli/main.py", "from striate.cli import train\nfrom striate import runtime, api"),
        ("__main__.py", "from striate.cli.main import main"),
        ("train/loop.py", f"{IF_TYPING}from striate.tasks.task import Task"),
    ],
)
def test_an_import_along_the_direction_is_not(tmp_path, file, text):
    assert violations(plant(tmp_path, {file: text})) == []


@pytest.mark.parametrize("file", ["ops/utils.py", "helpers/__init__.py", "common.py", "train/manager.py"])
def test_a_name_that_says_nothing_is_found(tmp_path, file):
    (breach,) = violations(plant(tmp_path, {file: ""}))
    assert "says nothing" in breach


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def load():\n    from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=True)",
        "torch.hub.load(path, weights_only=True)",
        "torch.save(model, path)",
        "np.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=trusted)",
        "yaml.load(text, Loader)",
    ],
)
def test_a_pickle_is_found(tmp_path, text):
    (breach,) = violations(plant(tmp_path, {"files.py": text}))
    assert "pickle" in breach or "runs code from files" in breach


@pytest.mark.parametrize("text", ["np.load(path)", "np.load(path, allow_pickle=False)"])
def test_a_load_without_pickle_is_not(tmp_path, text):
    assert violations(plant(tmp_path, {"files.py": text})) == []


@pytest.mark.parametrize(
    ("options", "breaches"), [("weights_only=True", 0), ("weights_only=False", 1), ("weights_only=safe", 1)]
)
def test_files_of_other_libraries_are_read_in_one_place_as_tensors_only(tmp_path, options, breaches):
    text = f"torch.load(path, {options})"
    assert len(violations(plant(tmp_path, {READS_PTH.as_posix(): text}))) == breaches


@pytest.mark.parametrize(
    ("lines", "found"),
    [(MOST_LINES, []), (MOST_LINES + 1, ["ops/long.py:1: 401 lines are more than 400"])],
)
def test_a_file_has_at_most_400_lines(tmp_path, lines, found):
    assert violations(plant(tmp_path, {"ops/long.py": "x = 1\n" * lines})) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [(MOST_FUNCTION_LINES - 1, []), (MOST_FUNCTION_LINES, ["ops/f.py:1: f has 51 lines, more than 50"])],
)
def test_a_function_has_at_most_50_lines(tmp_path, lines, found):
    assert violations(plant(tmp_path, {"ops/f.py": "def f():\n" + "    x = 1\n" * lines})) == found


def test_a_function_has_at_most_10_arguments_and_a_command_its_flags(tmp_path):
    text = "def f(a, b, c, d, e, f, g, h, i, *, j, k): ..."
    (breach,) = violations(plant(tmp_path, {"ops/f.py": text, "cli/train.py": text}))
    assert breach == "ops/f.py:1: f takes 11 arguments, more than 10"
