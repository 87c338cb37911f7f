"""What the protocol tests share: published frames and ways to cut a stream into pieces."""

import json
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st

VECTORS = json.loads(
    (Path(__file__).parent / "vectors" / "meter_frames.json").read_text(encoding="utf-8")
)["vectors"]


def vectors(protocol):
    """Published frames of one protocol, with their test ids."""
    chosen = [vector for vector in VECTORS if vector["protocol"] == protocol]
    return {
        "argvalues": chosen,
        "ids": [vector["meaning"].replace(" ", "-") for vector in chosen],
    }


def feed(parser, pieces):
    """All frames of a parser over the pieces of a stream."""
    return [frame for piece in pieces for frame in parser.feed(piece)]


@st.composite
def cut(draw, stream):
    """`stream` in random pieces, empty ones among them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def bytewise(stream):
    return [stream[i : i + 1] for i in range(len(stream))]
