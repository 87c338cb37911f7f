"""Sites, gateways, meters and opening registers as an Excel workbook, in and out.

``sheets`` names sheets and columns, ``reader`` makes rows of a file, ``values`` turns cells into
values, ``plan`` compares the rows with the database, ``store`` writes what is planned, ``writer``
makes workbooks. Nothing is written before every row of every sheet is right.
"""
