from . import prepay_sale_wizard
from . import prepay_wallet_operation
