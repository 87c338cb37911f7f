from . import prepay_sale_wizard
from . import prepay_tariff_simulation
from . import prepay_tariff_simulation_line
from . import prepay_wallet_operation
