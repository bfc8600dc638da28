"""Bytes of a receiver -> lines: a sentence is found wherever it starts, however the reads were cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hw.bauds import is_sentence
from hw.gnss_lines import MAX_LINE_BYTES, LineAssembler
from tests.nmea_lines import gga, rmc

UBX = b"\xb5\x62\x01\x07\x5c\x00" + bytes(range(256)) * 2 + b"\x12\x34"
"""Like a message of u-blox: line ends, ``$`` and ``!`` are in it, too."""


def texts(*pieces):
    assembler = LineAssembler()
    return [line.text for t, piece in enumerate(pieces) for line in assembler.feed(piece, t)]


BINARY = st.binary(max_size=700)
LINE_ENDS = st.sampled_from([b"\r\n", b"\n", b"\r"])


@given(st.lists(st.tuples(BINARY, st.sampled_from([rmc(), gga()]), LINE_ENDS), max_size=8), st.data())
@example([(UBX, rmc(), b"\r\n"), (b"$GPGGA,1200", gga(), b"\r\n"), (b"\xd3\x00\x13$", rmc(), b"\n")], None)
def test_every_whole_sentence_comes_out_whatever_is_between_and_however_it_is_cut(parts, data):
    """Any bytes before each sentence, reads of any size."""
    stream = b"".join(noise + text.encode() + end for noise, text, end in parts)
    size = 1 if data is None else data.draw(st.integers(1, 64))
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    found = [text for text in texts(*pieces) if is_sentence(text)]
    assert found == [text for _, text, _ in parts]
    assert texts(*pieces) == texts(stream) or size < len(stream)


@given(st.lists(BINARY, max_size=20))
def test_memory_is_bounded_and_bytes_are_accounted_for(pieces):
    """No line is longer than the limit; what is in no line is counted."""
    assembler = LineAssembler()
    lines = [line for t, piece in enumerate(pieces) for line in assembler.feed(piece, t)]
    assert all(len(line.text) <= MAX_LINE_BYTES for line in lines)
    assert sum(line.binary_bytes for line in lines) <= sum(map(len, pieces))


def test_a_sentence_says_how_much_binary_data_was_before_it():
    """And is stamped with the arrival of its own first byte, not of theirs."""
    assembler = LineAssembler()
    assert assembler.feed(b"\xb5\x62" + b"\x00" * 98, 5) == []
    (line,) = assembler.feed(f"{rmc()}\r\n".encode(), 9)
    assert (line.text, line.binary_bytes, line.t_mono_ns) == (rmc(), 100, 9)


def test_a_half_sentence_in_front_of_a_whole_one_is_a_line_of_its_own():
    assert texts(f"$GPGGA,120000.0{rmc()}\r\n".encode()) == ["$GPGGA,120000.0", rmc()]


def test_a_sentence_that_binary_data_follow_at_once_is_whole():
    assert texts(rmc().encode() + b"\xb5\x62\x00")[0] == rmc()


def test_data_without_line_ends_leave_a_trace():
    """A wrong baud rate, or a receiver that sends no NMEA, is not reported as silence."""
    assembler = LineAssembler()
    lines = [line for t in range(100) for line in assembler.feed(b"\xf8\x80\x00\xe0", t)]
    lines += assembler.feed(b"\xf8" * 1000, 100)
    assert lines
    assert all(not is_sentence(line.text) and line.binary_bytes > 0 for line in lines)


@given(st.lists(BINARY, max_size=20))
def test_a_new_connection_begins_with_nothing_of_the_one_before(pieces):
    assembler = LineAssembler()
    for piece in pieces:
        assembler.feed(piece, 0)
    dropped = assembler.dropped
    assembler.restart()
    lines = assembler.feed(f"hello\r\n{rmc()}\r\n".encode(), 1)
    assert [(line.text, line.binary_bytes) for line in lines] == [("hello", 0), (rmc(), 0)]
    assert assembler.dropped == dropped


def test_text_that_is_no_sentence_is_a_line():
    assert texts(b"hello\r\nworld\n\n") == ["hello", "world"]


@pytest.mark.parametrize("device", ["/dev/$gps!", "Empfänger 1", "受信機"])
def test_json_is_not_cut_whatever_its_characters(device):
    report = json.dumps({"class": "TPV", "device": device}, ensure_ascii=False)
    (line,) = LineAssembler(has_json=True).feed(f"{report}\n".encode(), 0)
    assert line.text == report
