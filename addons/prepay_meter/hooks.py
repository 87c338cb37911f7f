from odoo.tools import SQL

from . import storage


def delete_rows(env, *tables):
    """Empty tables of an addon that is being uninstalled.

    Odoo deletes the records it knows by XML id one by one and logs an error for each that something
    else still refers to; append-only triggers would refuse them too. The tables are dropped anyway, so
    the references among them go first and the order does not matter.
    """
    env.cr.execute(
        """
        SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint c
         WHERE c.contype = 'f' AND c.conrelid = ANY(%(tables)s::regclass[])
           AND c.confrelid = ANY(%(tables)s::regclass[])
        """,
        {"tables": list(tables)},
    )
    for table, constraint in env.cr.fetchall():
        names = SQL.identifier(table), SQL.identifier(constraint)
        env.cr.execute(SQL("ALTER TABLE %s DROP CONSTRAINT %s", *names))
    for table in tables:
        name = SQL.identifier(table)
        env.cr.execute(SQL("ALTER TABLE %s DISABLE TRIGGER USER", name))
        env.cr.execute(SQL("DELETE FROM %s", name))
    env.invalidate_all(flush=False)


def own_tables(env, module):
    """Names of the tables that the models of an addon brought."""
    return [
        model._table
        for model in env.registry.values()
        if model._original_module == module and model._auto and not model._abstract
    ]


def uninstall_hook(env):
    """Remove what the registry does not know: the partitioned readings and the trigger function."""
    storage.drop_tables(env.cr)
    delete_rows(
        env,
        "prepay_meter_event",
        "prepay_meter_frame",
        "prepay_meter_probe",
        "prepay_reading_baseline",
        "prepay_reading_estimate",
        "prepay_reading_hold_value",
        "prepay_reading_hold",
        "prepay_meter_credit",
        "prepay_meter_parameter",
        "prepay_meter_command",
        "prepay_meter",
        "prepay_meter_state",
        "prepay_gateway",
        "prepay_gateway_state",
        "prepay_meter_control",
        "prepay_meter_point",
        "prepay_meter_profile",
        "prepay_location",
    )
