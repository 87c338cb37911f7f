from . import prepay_receipt
from . import prepay_receipt_preview
from . import prepay_statement
