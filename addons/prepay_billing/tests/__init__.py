from . import test_charging
from . import test_counter
from . import test_ledger
from . import test_pdf_engine
from . import test_receipt
from . import test_supply
from . import test_tours
