"""The mirror is read from whatever form the machine's sources have."""

import pytest

from tools.launcher import apt_sources

DEB822 = """
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""
ONE_LINE = """
# deb http://off.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian bookworm main # x
deb http://packages.example cloud main
"""


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822(etc):
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    found = apt_sources.read_all(etc)
    assert [source.uris[0] for source in found] == [
        "http://mirror.example/debian",
        "http://security.example/debian-security",
    ]
    chosen = apt_sources.distribution(found, "bookworm")
    assert chosen.uris == ("http://mirror.example/debian",)
    assert chosen.options["signed-by"] == "/usr/share/keyrings/archive.gpg"


def test_key_written_into_the_file_is_kept(etc):
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    key = apt_sources.read_all(etc)[1].options["signed-by"]
    assert "\n -----BEGIN PGP" in key
    assert key.endswith("-----END PGP PUBLIC KEY BLOCK-----")


def test_one_line(etc):
    (etc / "sources.list").write_text(ONE_LINE)
    (etc / "sources.list.d" / "ignored.save").write_text("deb http://other.example sid main")
    found = apt_sources.read_all(etc)
    assert len(found) == 2
    chosen = apt_sources.distribution(found, "bookworm")
    assert chosen.uris == ("http://mirror.example/debian",)
    assert chosen.options == {"signed-by": "/usr/share/keyrings/a.gpg"}


def test_no_distribution(etc):
    (etc / "sources.list").write_text("deb http://packages.example cloud main\n")
    assert apt_sources.distribution(apt_sources.read_all(etc), "bookworm") is None
