from . import test_access
from . import test_accounting
from . import test_in_flight
from . import test_inbox
from . import test_portal
from . import test_suspense
from . import test_transaction
