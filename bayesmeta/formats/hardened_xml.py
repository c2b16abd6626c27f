"""XML read without DTDs, entities or references, keeping only the elements asked for."""

import re
from collections.abc import Collection
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from bayesmeta.errors import DataError
from bayesmeta.formats.limits import check_size

MAX_ELEMENTS = 500_000


def local(tag: str) -> str:
    """Return an element's name without its namespace."""
    return tag.rpartition("}")[2]


class _Pruned:
    """Builds a tree of the kept elements alone, so that memory follows the data and not the document."""

    def __init__(self, keep: Collection[str], name: str) -> None:
        self._keep, self._name, self._count, self._depth = frozenset(keep), name, 0, 0
        self._builder = TreeBuilder()
        self._open: list[bool] = []

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        kept = not self._open or local(tag) in self._keep
        self._open.append(kept)
        if kept:
            self._count += 1
            if self._count > MAX_ELEMENTS:
                raise DataError(f"{self._name} has more than {MAX_ELEMENTS:,} table elements: refused.")
            self._builder.start(local(tag), attrs)

    def end(self, tag: str) -> None:
        if self._open.pop():
            self._builder.end(local(tag))

    def data(self, text: str) -> None:
        if self._open and self._open[-1]:
            self._builder.data(text)

    def close(self) -> Element:
        return self._builder.close()


def parse_xml(data: bytes, name: str, keep: Collection[str]) -> Element:
    """Return the tree of the root and of the elements named in `keep`, namespaces removed.

    Raises
    ------
    DataError
        If the document is not well formed, or has a DTD, an entity or an external reference.
    """
    check_size(name, len(data))
    try:
        return _parsed(data, name, keep)
    except ParseError as error:
        mended = _mended(data)
        if mended == data:
            raise _malformed(name, error) from None
    try:
        return _parsed(mended, name, keep)
    except ParseError as error:
        raise _malformed(name, error) from None


def _malformed(name: str, error: Exception) -> DataError:
    return DataError(f"{name} is not well-formed XML ({error}). Export the file again.")


def _mended(data: bytes) -> bytes:
    """Return the document as UTF-8, without characters that XML forbids, stray ``&`` and ``<`` of a text escaped.

    Programs write Western European bytes under a UTF-8 declaration, and pass text through as it was typed.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    text = re.sub(r'^(<\?xml[^>]*encoding=)["\'][^"\']*["\']', r'\1"UTF-8"', text)
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", text)
    text = re.sub(r"&(?!(?:[A-Za-z][A-Za-z0-9]*|#[0-9]+|#x[0-9A-Fa-f]+);)", "&amp;", text)
    return re.sub(r"<(?=[\s\d=.,<])", "&lt;", text).encode()


def _parsed(data: bytes, name: str, keep: Collection[str]) -> Element:
    parser = DefusedXMLParser(target=_Pruned(keep, name), forbid_dtd=True)
    try:
        parser.feed(data)
        root: Element = parser.close()
    except DefusedXmlException:
        raise DataError(
            f"{name} contains a document type or entities, which a table never needs: refused (XML bomb)."
        ) from None
    except (DataError, ParseError):
        raise
    except (ValueError, LookupError, AssertionError) as error:
        raise _malformed(name, error) from None
    return root
