from . import prepay_meter_relay_wizard
