from . import test_access
from . import test_account
from . import test_departure
from . import test_occupancy
from . import test_stays
