{
    "name": "Prepaid SMS",
    "version": "19.0.1.0.0",
    "category": "Services/Prepaid Utilities",
    "summary": "Low balance, cut, restore and payment messages by SMS, with delivery receipts",
    "author": "Prepaid Utilities contributors",
    "license": "LGPL-3",
    "depends": ["prepay_billing", "sms"],
    "data": [
        "security/ir.model.access.csv",
        "security/prepay_sms_rules.xml",
        "data/prepay_notice_template_data.xml",
        "views/prepay_notice_views.xml",
        "views/prepay_notice_template_views.xml",
        "views/prepay_account_views.xml",
        "views/res_config_settings_views.xml",
        "views/prepay_sms_menus.xml",
    ],
    "demo": [
        "demo/prepay_notice_demo.xml",
    ],
    "uninstall_hook": "uninstall_hook",
    "installable": True,
}
