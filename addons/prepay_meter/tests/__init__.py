from . import test_meter
from . import test_credit
from . import test_parameter
from . import test_profiles
from . import test_reading
