"""Plate texts as 64-bit numbers: base 37, digits 1..36 for 0-9 and A-Z, so that a text of up to 12 characters fits.

The letter O and the digit 0 are one symbol: most issuers print them alike, and labels and readers mix them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARS = 12
BASE = 37
SYMBOLS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CODES: dict[str, int] = {symbol: SYMBOLS.index("0" if symbol == "O" else symbol) + 1 for symbol in SYMBOLS}
"""Code of each symbol, 1..36; O has the code of 0."""
_SEPARATORS = " -.\u00b7\u00a0\u2013\t"
_DROPPED = dict.fromkeys(map(ord, _SEPARATORS))
_BAD, _SKIP = 255, 0
_UNPACKED = "".join(SYMBOLS)


def normalise(text: str) -> str:
    """Return the text in upper case without spaces, dashes and dots; it may still hold other characters."""
    return text.translate(_DROPPED).upper()


def pack(text: str) -> int | None:
    """Return the number of a normalised text; None for an empty or too long one, or one with other characters."""
    if not 0 < len(text) <= MAX_CHARS:
        return None
    key = 0
    for symbol in text:
        code = CODES.get(symbol)
        if code is None:
            return None
        key = key * BASE + code
    return key


def unpack(key: int) -> str:
    """Return the text of a number, with 0 for O."""
    symbols = []
    while key:
        key, code = divmod(key, BASE)
        symbols.append(_UNPACKED[code - 1])
    return "".join(reversed(symbols))


def unpack_codes(keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the codes of many numbers, n x 12, left-aligned and padded with 0."""
    left = keys.astype(np.uint64)
    codes = np.zeros((len(keys), MAX_CHARS), np.uint8)
    for column in range(MAX_CHARS - 1, -1, -1):
        codes[:, column] = left % np.uint64(BASE)
        left //= np.uint64(BASE)
    lengths = np.count_nonzero(codes, axis=1)
    order = (np.arange(MAX_CHARS)[None, :] + (MAX_CHARS - lengths)[:, None]) % MAX_CHARS
    aligned: NDArray[np.uint8] = np.take_along_axis(codes, order, axis=1)
    return aligned


def pack_many(texts: list[bytes]) -> NDArray[np.uint64]:
    """Normalise and pack many ASCII texts; 0 for those that are no plain plate text (empty, too long, wildcards)."""
    column = np.array(texts, dtype=np.bytes_)
    width = column.dtype.itemsize
    if not width or not len(column):
        return np.zeros(len(column), np.uint64)
    codes = _TABLE[column.view(np.uint8).reshape(len(column), width)]
    keys = np.zeros(len(column), np.uint64)
    counts = np.zeros(len(column), np.uint8)
    bad = np.zeros(len(column), bool)
    for place in range(min(width, 4 * MAX_CHARS)):
        code = codes[:, place]
        is_symbol = (code != _SKIP) & (code != _BAD)
        bad |= code == _BAD
        # More than 12 symbols overflow; they are refused below.
        keys = np.where(is_symbol, keys * np.uint64(BASE) + code, keys)
        counts += is_symbol
    if width > 4 * MAX_CHARS:
        bad |= codes[:, 4 * MAX_CHARS :].any(axis=1)
    keys[bad | (counts == 0) | (counts > MAX_CHARS)] = 0
    return keys


def _build_table() -> NDArray[np.uint8]:
    table = np.full(256, _BAD, np.uint8)
    for symbol, code in CODES.items():
        table[ord(symbol)] = table[ord(symbol.lower())] = code
    for separator in _SEPARATORS:
        if separator.isascii():
            table[ord(separator)] = _SKIP
    table[0] = _SKIP
    return table


_TABLE = _build_table()
