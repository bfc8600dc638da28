"""Reads the parts of a package's page that its proof is about; a page is a stranger's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

MAX_PAGE_BYTES = 256 * 2**20


@dataclass(slots=True)
class Cell:
    """A value that the page shows."""

    label: str
    record: str
    path: str
    form: str
    text: str = ""


@dataclass(slots=True)
class PageParts:
    """What was found."""

    main: str = ""
    cells: list[Cell] = field(default_factory=list)
    pictures: list[tuple[str, str, str]] = field(default_factory=list)
    """Hash that the page claims, name, and source."""
    sources: dict[str, str] = field(default_factory=dict)
    """Of images with an id."""
    scripts: dict[str, str] = field(default_factory=dict)
    """Of data, by id."""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = PageParts()
        self._main: list[str] = []
        self._depth = 0
        self._cell: Cell | None = None
        self._label: list[str] | None = None
        self._last_label = ""
        self._script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        match tag:
            case "main":
                self._depth += 1
            case "th":
                self._label = []
            case "td":
                self._cell = Cell(
                    self._last_label, *(told.get(f"data-{n}", "") for n in ("record", "path", "form"))
                )
            case "img":
                source = told.get("src", "")
                if "data-picture" in told:
                    self.found.pictures.append((told["data-picture"], told.get("alt", ""), source))
                if "id" in told:
                    self.found.sources[told["id"]] = source
            case "script":
                self._script = told.get("id", "")
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._depth -= 1
        elif tag == "th" and self._label is not None:
            self._last_label, self._label = "".join(self._label), None
        elif tag == "td" and self._cell is not None:
            if self._cell.record:
                self.found.cells.append(self._cell)
            self._cell = None
        elif tag == "script":
            self._script = ""

    def handle_data(self, data: str) -> None:
        if self._depth > 0:
            self._main.append(data)
        if self._cell is not None:
            self._cell.text += data
        if self._label is not None:
            self._label.append(data)
        if self._script:
            self.found.scripts[self._script] = self.found.scripts.get(self._script, "") + data

    def close(self) -> None:
        super().close()
        self.found.main = "".join(self._main)


def read_page(text: str) -> PageParts:
    """Return the parts of a page; of anything else there are none."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return parser.found
