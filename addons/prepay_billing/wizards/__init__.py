from . import prepay_sale_wizard
