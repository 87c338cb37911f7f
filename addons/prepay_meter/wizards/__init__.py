from . import prepay_meter_relay_wizard
from . import prepay_reading_hold_wizard
