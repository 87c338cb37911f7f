from . import test_gateway
from . import test_notice
from . import test_notice_template
from . import test_receipt
from . import test_tools
