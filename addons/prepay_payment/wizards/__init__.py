from . import prepay_sale_wizard
from . import prepay_suspense_wizard
