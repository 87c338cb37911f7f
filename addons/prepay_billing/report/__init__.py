from . import prepay_receipt
