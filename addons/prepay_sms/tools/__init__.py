from . import phone
from . import sms_api
from . import text
from . import url
