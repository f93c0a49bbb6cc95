"""What messages tell people to do exists: every command, option and setting that the source names in them."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from striate.audit import KINDS
from striate.cli.main import app
from striate.recipe import Recipe

SOURCE = Path(__file__).parents[2] / "striate"
GAP = "\0"  # what an f-string fills in
PROSE = {"wrote"}  # what follows the name of the program where it is no command
GLOBAL = {"--debug", "--version", "--help"}
NOT_OURS = {"--nproc-per-node"}  # torchrun's
TRAINING = {"train", "find-lr", "tune"}  # commands that read data, build a network and train it
TRAINS = ("settle", "start", "network", "prepared", "detectors", "batch_size", "device", "train", "models")


def commands(command=None, path=()) -> dict[str, set[str]]:
    """The words of every command and its options."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        return {" ".join(path): {name for parameter in command.params for name in parameter.opts}}
    found = {}
    for name, below in command.commands.items():
        found |= commands(below, (*path, name))
    return found


COMMANDS = commands()
OPTIONS = set().union(*COMMANDS.values()) | GLOBAL


def text_of(node: ast.AST) -> str | None:
    """A string as written, with ``GAP`` for what is filled in; None for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.List | ast.Tuple):  # words that shlex.join makes a command of
        words = [text_of(word) if not isinstance(word, ast.Starred) else GAP for word in node.elts]
        return " ".join(GAP if word is None else word for word in words)
    return None


def messages() -> Iterator[tuple[str, str]]:
    """(module:line, text) of every string that is no documentation."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        module = path.relative_to(SOURCE).with_suffix("").as_posix()
        for node in ast.walk(tree):
            text = None if id(node) in documentation else text_of(node)
            if text and ("--" in text or "striate " in text):
                yield f"{module}:{node.lineno}", text


def advised(text: str) -> Iterator[tuple[str | None, set[str]]]:
    """(Command, its options) of each command in a text; None for the options that stand by themselves."""
    own = re.split(r"(?<![\w/.])striate (?=[a-z])", re.sub(r"<[^>]*>", " ", text))
    yield None, options_in(own[0])
    for part in own[1:]:
        words = re.match(r"(data )?[a-z][a-z-]*", part)
        if words and words[0] not in PROSE:
            ends = re.split(r"[;,`\n]| or | and (?=striate)|: ", part)[0]
            yield words[0], options_in(ends)
            yield None, options_in(part[len(ends) :])


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w<!-])--[a-z][a-z-]*(?![\w:-]|\0)", text)) - NOT_OURS


def faults() -> Iterator[str]:
    for place, text in messages():
        if place.startswith(("report/charts", "report/style", "report/tables")) or "var(--" in text:
            continue  # how pages look
        for command, options in advised(text):
            if command is not None and command not in COMMANDS:
                yield f"{place}: there is no command {command!r} in {text!r}"
            known = OPTIONS if command is None else COMMANDS.get(command, OPTIONS) | GLOBAL
            if unknown := options - known:
                yield f"{place}: there is no {', '.join(sorted(unknown))} in {text!r}"


def test_every_command_and_option_in_a_message_exists():
    found = list(faults())
    assert not found, "\n".join(found)


def test_the_messages_were_found():
    found = [(command, options) for _, text in messages() for command, options in advised(text)]
    named = {command for command, _ in found}
    assert {"train", "evaluate", "data convert", "data split", "models", "doctor"} <= named
    assert {"--out", "--from", "--fix", "--resume"} <= set().union(*(options for _, options in found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("striate trian DATA", [(None, set()), ("trian", set()), (None, set())]),
        ("try `striate train DATA --fix` once", [(None, set()), ("train", {"--fix"}), (None, set())]),
        ("striate data convert A B --fix; or leave --out out",
         [(None, set()), ("data convert", {"--fix"}), (None, {"--out"})]),
        ("use a file that striate wrote", [(None, set())]),
        (f"--image-size {GAP}", [(None, {"--image-size"})]),
    ],
)  # fmt: skip
def test_advice_is_read_as_a_person_reads_it(text, expected):
    assert list(advised(text)) == expected


def test_options_that_training_advises_are_options_of_every_command_that_trains():
    """``--strict`` is a flag of train alone; the message names the setting that the others take as well."""
    missing = [
        (place, sorted(options - COMMANDS[command]))
        for place, text in messages()
        if place.split(":")[0].split("/")[0] in TRAINS and "torchrun" not in text
        for words, options in advised(text)
        for command in TRAINING
        if words is None and options - COMMANDS[command] - {"--strict"}
    ]
    allowed = {"train/range_test", "train/fit"}  # find-lr's own; of a run that was stopped
    assert not [one for one in missing if one[0].split(":")[0] not in allowed]


def test_settings_in_messages_exist():
    sections = {
        name: set(type(value).model_fields) for name, value in Recipe() if hasattr(value, "model_fields_set")
    }
    pattern = re.compile(rf"\b({'|'.join(sections)})\.([a-z_]+)\b(?!\.?\w*\()")
    known_files = {
        "toml",
        "yaml",
        "json",
        "tar",
        "safetensors",
        "html",
        "bin",
        "py",
        "csv",
        "xml",
        "txt",
        "onnx",
    }
    for place, node in raised():
        for section, key in pattern.findall(node):
            assert key in sections[section] | known_files, f"{place}: {section}.{key} in {node!r}"


def raised() -> Iterator[tuple[str, str]]:
    """The texts of errors that people read."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("InputError", "RunError"):
                for argument in node.args:
                    if text := text_of(argument):
                        yield f"{path.relative_to(SOURCE)}:{node.lineno}", text


def test_extras_in_messages_exist():
    declared = set(importlib.metadata.metadata("striate").get_all("Provides-Extra") or [])
    for place, text in messages_with("pip install"):
        for extra in re.findall(r"striate\\?\[([a-z]+)\]", text):
            assert extra in declared, place


def messages_with(words: str) -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (text := text_of(node)) and words in text:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", text


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_the_advice_of_an_audit_exists(kind):
    for command, options in advised(kind.advice):
        assert command is None or command in COMMANDS
        assert options <= OPTIONS
