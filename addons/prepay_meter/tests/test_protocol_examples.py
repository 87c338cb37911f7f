"""The examples in the documentation of the codecs are right."""

import doctest

import pytest

from odoo.addons.prepay_meter.protocols import cjt188, dlt645, dtu, modbus, values


@pytest.mark.parametrize("module", [cjt188, dlt645, dtu, modbus, values])
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
