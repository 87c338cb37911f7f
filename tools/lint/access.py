"""Access rights: every model of ours has rows in ir.model.access.

Also wizards: a model without rows can be used by nobody but the superuser,
and a method called with more rights would be the only way in.
Usage: python -m tools.lint.access DATABASE
"""

import sys

import psycopg

from .findings import Finding, addon_names, finish

QUERY = """
    SELECT m.model, (array_agg(d.module ORDER BY d.id))[1]
      FROM ir_model m
      JOIN ir_model_data d ON d.model = 'ir.model' AND d.res_id = m.id
     WHERE NOT m.abstract
       AND NOT EXISTS (SELECT 1 FROM ir_model_access a WHERE a.model_id = m.id AND a.active)
     GROUP BY m.id, m.model
    HAVING bool_and(d.module = ANY(%s))
"""
# A rule limits rows by company: a model with a company needs one.
RULES = """
    SELECT m.model, (array_agg(d.module ORDER BY d.id))[1]
      FROM ir_model m
      JOIN ir_model_data d ON d.model = 'ir.model' AND d.res_id = m.id
      JOIN ir_model_fields f ON f.model_id = m.id AND f.name = 'company_id' AND f.store
     WHERE NOT m.abstract AND NOT m.transient
       AND NOT EXISTS (SELECT 1 FROM ir_rule r WHERE r.model_id = m.id AND r.active)
     GROUP BY m.id, m.model
    HAVING bool_and(d.module = ANY(%s))
"""


def main(database: str) -> int:
    found = []
    with psycopg.connect(dbname=database) as connection:
        for model, module in connection.execute(QUERY, [addon_names()]):
            todo = f"add rows to addons/{module}/security/ir.model.access.csv"
            found.append(Finding("", 0, f"{model} has no access rights", todo))
        for model, module in connection.execute(RULES, [addon_names()]):
            todo = f"add an ir.rule on company_id in addons/{module}/security/"
            found.append(Finding("", 0, f"{model} has a company but no record rule", todo))
    return finish("access rights", found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
