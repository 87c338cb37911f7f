from . import prepay_notice_template
from . import prepay_notice
from . import prepay_account
from . import prepay_topup
from . import sms_sms
from . import res_company
from . import res_config_settings
