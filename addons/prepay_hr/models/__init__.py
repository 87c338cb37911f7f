from . import prepay_occupancy
from . import prepay_location
from . import hr_employee
from . import hr_version
from . import res_company
from . import res_config_settings
