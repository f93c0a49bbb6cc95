"""XML from anybody, as elements that know their line; no entities, no document types, limits on size."""

import math
import re
from collections.abc import Callable, Iterator

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from striate.errors import InputError
from striate.text_files import as_utf8, decode_text

MAX_XML_BYTES = 2**28
MAX_DEPTH = 32  # of any label format half of it is enough

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECLARED = re.compile(rb"""<\?xml[^>]{,100}encoding\s*=\s*["']([\w.-]{,40})["']""")
_OLD_ENCODINGS = re.compile(  # other codecs of Python are no encodings of text
    r"(gb|big5|s?(hift)?.?jis|euc|iso.?8859|latin|cp\d|windows.?\d|koi8|mac|(us.)?ascii)[\w.-]*",
    re.IGNORECASE,
)
_FIRST_TAG = re.compile(rb"<([A-Za-z_][\w.\-]*)")


class Element:
    """An element.

    Attributes:
        tag: its name.
        attributes: by name.
        line: of its opening tag, from 1 on.
        children: in order.
        text: what stands before its first child, without space around it.
    """

    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self.tag = tag
        self.attributes = attributes
        self.line = line
        self.children: list[Element] = []
        self.text = ""

    def each(self, tag: str) -> Iterator["Element"]:
        """The children of this name."""
        return (child for child in self.children if child.tag == tag)

    def child(self, tag: str) -> "Element | None":
        """The first child of this name."""
        return next(self.each(tag), None)

    def text_of(self, tag: str) -> str | None:
        """The text of the first child of this name; None where there is none."""
        child = self.child(tag)
        return None if child is None else child.text


def parse_xml(content: bytes, place: str) -> Element:
    """The root of an XML file.

    Raises:
        InputError: too large, not well-formed, nested too deeply, with a document type or entities.
    """
    if len(content) > MAX_XML_BYTES:
        raise InputError(f"the XML file is larger than {MAX_XML_BYTES >> 20} MiB", place, "split it")
    builder = _Builder(place)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    builder.line = lambda: int(parser.parser.CurrentLineNumber)
    text = _decode(content, place)
    try:
        parser.feed(text)
        parser.close()
    except DefusedXmlException:
        where = f"{place}, line {builder.line()}"
        raise InputError(
            "the XML has a document type or entities, which are never read", where, "remove them"
        ) from None
    except ParseError as error:
        line, _ = error.position
        what = str(error).partition(": line")[0]
        raise InputError(
            f"the file is no XML: {what}", f"{place}, line {line}", "mend it, or export it again"
        ) from None
    return builder.root()


def root_tag(content: bytes) -> str:
    """The name of the root element, without reading the rest; "" if there is none."""
    start = as_utf8(content[:4096])
    found = _FIRST_TAG.search(re.sub(rb"(?s)<!--.*?-->", b"", start))
    return found[1].decode() if found else ""


def _decode(content: bytes, place: str) -> str:
    """The text of an XML file: in the encoding that its first line names, if that is one of the old ones.

    Unicode is told by its bytes, since programs that save a file anew leave the first line as it was.
    """
    declared = _DECLARED.match(content)
    encoding = declared[1].decode() if declared else "utf-8"
    if not _OLD_ENCODINGS.fullmatch(encoding):
        return decode_text(content, place)
    try:
        return content.decode(encoding)
    except LookupError:
        raise InputError(f"the encoding {encoding} is not known", place, "save it as UTF-8") from None
    except UnicodeDecodeError as error:
        where = f"{place}, line {content.count(bytes([10]), 0, error.start) + 1}"
        raise InputError(
            f"the file says that it is {encoding}, and is not", where, "save it as UTF-8"
        ) from None


def number(text: str | None, limit: float = 1e9) -> float | None:
    """The number that ``text`` is; None if it is none, or larger than a coordinate can be."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) and abs(value) <= limit else None


class _Builder:
    """Makes elements of the parser's events."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.line: Callable[[], int] = lambda: 0
        self._roots: list[Element] = []
        self._open: list[tuple[Element, list[str]]] = []  # with the pieces of their text

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, self.line())
        (self._open[-1][0].children if self._open else self._roots).append(element)
        self._open.append((element, []))
        if len(self._open) > MAX_DEPTH:
            raise InputError(
                "the XML is nested too deeply", f"{self.place}, line {element.line}", "export it again"
            )

    def end(self, tag: str) -> None:
        element, texts = self._open.pop()
        element.text = "".join(texts).strip()

    def data(self, text: str) -> None:
        element, texts = self._open[-1]
        if not element.children:
            texts.append(text)

    def root(self) -> Element:
        return self._roots[0]
