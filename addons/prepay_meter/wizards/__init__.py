from . import prepay_meter_relay_wizard
from . import prepay_meter_parameter_wizard
from . import prepay_meter_credit_wizard
