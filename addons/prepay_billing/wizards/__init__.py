from . import prepay_sale_wizard
from . import prepay_tariff_simulation
from . import prepay_tariff_simulation_line
from . import prepay_wallet_operation
from . import prepay_supply_preview
from . import prepay_supply_preview_line
from . import prepay_supply_undo_wizard
from . import prepay_receipt_print_wizard
