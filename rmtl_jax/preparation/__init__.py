"""Raw logs to prepared data, by DuckDB.

`prepare.py` is the flow, and each step of it a file or a folder:

| step | where |
|---|---|
| read: a view of rows, whatever the log | `sources/` by the contract of `source.py`; `raw/`, `schema/` |
| check | `checks.py` |
| number sessions, split | `sessions.py`; `splits.py` |
| as-of features | `as_of/` |
| encode | `encode.py`; `fit.py`: `vocabulary.py`, `lists.py`, `numbers.py`, `users.py`, `labels.py` |
| write | `writer.py`, `vectors.py`; the manifest: `counts.py` |

New days go the same way in `extending/`. Beside it: `guess/` (a schema of a raw
log), `contract/` (checks prepared data), `description/` (what is in it).

Steps hand on names of tables and views, and SQL over them. Where a function has
a `connection`, it holds what is named and gets what is made.
"""  # noqa: E501
