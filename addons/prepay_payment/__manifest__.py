{
    "name": "Prepaid Payments",
    "version": "19.0.1.0.0",
    "category": "Services/Prepaid Utilities",
    "summary": "Online top-ups: payment inbox, suspense list and the tenant's pages",
    "author": "Prepaid Utilities contributors",
    "license": "LGPL-3",
    "depends": ["prepay_billing", "account_payment"],
    "data": [
        "security/ir.model.access.csv",
        "security/prepay_payment_rules.xml",
        "data/ir_cron_data.xml",
        "views/prepay_payment_inbox_views.xml",
        "views/prepay_suspense_views.xml",
        "views/prepay_suspense_wizard_views.xml",
        "views/prepay_topup_views.xml",
        "views/payment_provider_views.xml",
        "views/res_config_settings_views.xml",
        "views/portal_templates.xml",
        "views/prepay_payment_menus.xml",
    ],
    "demo": [
        "demo/res_users_demo.xml",
    ],
    "assets": {
        "web.assets_frontend": [
            "prepay_payment/static/src/**/*",
        ],
    },
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
    "installable": True,
}
