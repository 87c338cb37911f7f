"""The search for frames, on a toy framing where candidates overlap all the time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols.stream import StreamSearch

from .common_protocol import bytewise, cut, feed

FIRST, HEADER, LONGEST = 1, 2, 6
STREAMS = st.lists(st.integers(0, 5), max_size=60).map(bytes)


def length_at(buffer, start):
    """The byte behind the first tells the length; 0 and 1 start no frame."""
    return buffer[start + 1] + 1 if buffer[start + 1] >= 2 else 0


def valid(frame):
    return sum(frame) % 3 == 0


def search():
    return StreamSearch(FIRST, HEADER, length_at, valid)


def by_definition(stream):
    """The frame that is complete first wins, of two that end together the longer; no overlap."""
    frames, used = [], 0
    for end in range(1, len(stream) + 1):
        for start in range(used, end - HEADER + 1):
            fits = stream[start] == FIRST and start + length_at(stream, start) == end
            if fits and valid(stream[start:end]):
                frames.append(stream[start:end])
                used = end
                break
    return frames


@settings(max_examples=200, deadline=None)
@given(st.data(), STREAMS)
def test_the_search_follows_its_definition_however_the_stream_is_cut(data, stream):
    expected = by_definition(stream)
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        parser = search()
        assert feed(parser, pieces) == expected
        assert len(parser) < LONGEST


def test_a_frame_inside_another_wins_in_one_piece_too():
    inner = bytes((1, 2, 0))
    outer = bytes((1, 5)) + inner + bytes((0,))
    assert valid(inner) and valid(outer) and length_at(outer, 0) == len(outer)
    assert search().feed(outer) == [inner]
    assert feed(search(), bytewise(outer)) == [inner]
