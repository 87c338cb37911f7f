from . import test_meter
from . import test_reading
