from . import prepay_suspense_wizard
