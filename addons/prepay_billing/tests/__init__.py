from . import test_pdf_engine
from . import test_receipt
