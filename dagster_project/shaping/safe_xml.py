"""XML from strangers: no entity is expanded, nothing is fetched, depth and size are libxml2's safe bounds.

What belongs here: how XML is parsed, and XHTML made HTML. What does not: what its elements mean.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Any, Final

_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31};)")
_XML_ENTITIES: Final = frozenset(("amp;", "lt;", "gt;", "quot;", "apos;"))
_DECLARATION: Final = re.compile(r"\s*<\?xml[^>]{0,200}\?>")
SETTINGS: Final = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def root_of(content: bytes) -> Any:
    """Return the root element of XML. Raises lxml's `XMLSyntaxError` for what is not well-formed."""
    from lxml import etree

    return etree.fromstring(content, etree.XMLParser(**SETTINGS))


def name_of(element: Any) -> str:
    """Return the name of an element without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def with_characters(xml: str) -> str:
    """Return XML with the characters that HTML's names stand for (`&nbsp;`), which XML itself doesn't know.

    >>> with_characters("&eacute;&amp;&what;")
    'é&amp;&what;'
    """
    return _ENTITY.sub(_character, xml)


def _character(match: re.Match[str]) -> str:
    return match[0] if match[1] in _XML_ENTITIES else html5.get(match[1], match[0])


def as_element(xhtml: str) -> Any:
    """Return the root of a piece of XHTML, its names without namespaces; None if it is not well-formed."""
    from lxml import etree

    try:
        text = _DECLARATION.sub("", with_characters(xhtml), count=1)
        root = root_of(text.encode("utf-8", "replace"))
    except etree.XMLSyntaxError:
        return None
    for element in root.iter(etree.Element):
        element.tag = name_of(element)
    return root


def as_html(root: Any) -> str:
    """Return an element as HTML, in which `<a id="x"/>` is closed and `<br/>` is not.

    >>> as_html(as_element('<p xmlns="http://www.w3.org/1999/xhtml"><a id="x"/>a<br/>b &lt;</p>'))
    '<p><a id="x"></a>a<br>b &lt;</p>'
    """
    from lxml import etree

    etree.cleanup_namespaces(root)
    text: str = etree.tostring(root, method="html", encoding="unicode", with_tail=False)
    return text
