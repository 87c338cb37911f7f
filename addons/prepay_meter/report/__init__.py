from . import prepay_label
