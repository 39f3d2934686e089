"""Raw logs to prepared data, by DuckDB.

`prepare_log.py` is the flow, and each step of it a file or a folder:

| step | where |
|---|---|
| read: a view of rows, whatever the log | `sources/` by the contract of `source.py`; `raw/`, `schema/` |
| check | `value_checks.py` |
| number sessions, split | `sessionize.py`; `split_rules.py`, `given_splits.py` |
| as-of features | `as_of/` |
| encode | `fit.py`, `encode.py`: `vocabulary.py`, `lists.py`, `numbers.py`, `users.py`, `label_sql.py` |
| write | `writer.py`, `field_vectors.py`; the manifest: `counts.py` |

`extending/` adds new days in the same way. `guess/` proposes a schema for a raw
log, `contract.py` checks prepared data, and `description/` describes them.

Steps pass names of tables and views, and SQL over them.
"""  # noqa: E501
