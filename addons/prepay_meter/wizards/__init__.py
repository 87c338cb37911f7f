from . import prepay_meter_relay_wizard
from . import prepay_meter_probe_wizard
from . import prepay_download
from . import prepay_meter_profile_import_line
from . import prepay_meter_profile_import_wizard
from . import prepay_site_import_wizard
from . import prepay_label_wizard
