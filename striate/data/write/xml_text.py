"""XML to write labels in: readable, and made of nothing that XML cannot hold."""

import re
from pathlib import Path
from xml.etree import ElementTree

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(value: object) -> str:
    """A value as text: "true" and "false", numbers as Python writes them; U+FFFD for what XML cannot hold."""
    return _ILLEGAL.sub("\ufffd", str(value).lower() if isinstance(value, bool) else str(value))


def number_text(value: float) -> str:
    """A number to a ten thousandth, without superfluous digits: "12", "0.3333"."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def add(parent: ElementTree.Element, tag: str, value: object = None) -> ElementTree.Element:
    """Add an element, with a value as its text."""
    element = ElementTree.SubElement(parent, tag)
    if value is not None:
        element.text = legal(value)
    return element


def write_xml(path: Path, root: ElementTree.Element) -> None:
    """Write a new file. Raises OSError."""
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8") + b"\n")
