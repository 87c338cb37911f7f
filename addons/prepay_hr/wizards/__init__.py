from . import hr_departure_wizard
from . import prepay_check_in_wizard
