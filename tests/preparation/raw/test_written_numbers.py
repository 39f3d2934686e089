"""Numbers that people wrote, as SQL and Python read them."""

from __future__ import annotations

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import readings, written_numbers
from tests.preparation import raw_files

WRITTEN = [
  (',', '1,5', 1.5),
  (',', '1.234,50', 1234.5),
  (',', '1.234.567', 1234567.0),
  (',', '1 234,5', 1234.5),
  (',', '1\u202f234,5 €', 1234.5),
  (',', '-1,5', -1.5),
  (',', '€ 3,20', 3.2),
  (',', '12 %', 12.0),
  (',', '1,2E-05', 1.2e-05),
  (',', ',5', 0.5),
  (',', '5,', 5.0),
  ('.', '$1,250.00', 1250.0),
  ('.', '-$3', -3.0),
  ('.', '$-3', -3.0),
  ('.', "1'234.5", 1234.5),
  ('.', '98%', 98.0),
  ('.', 'USD 1,250.50', 1250.5),
  (',', 'R$ -3,20', -3.2),
  (',', '12,5 EUR', 12.5),
  (',', '1 250 SEK', 1250.0),
  (',', '-12,5 zł', -12.5),
]
# Groups of thousands that are none, two decimal signs, two signs, words.
NONE = [
  *((',', text) for text in ('3.5', '1.2345', '1.23.456', '1,2,3', 'abc')),
  *((',', text) for text in ('--5', '+-5', '-$-5', '1,5 kg', '%', '-')),
  *(('.', text) for text in ('1,23', '12,34,567', '1.5.2', '(3)', '1,5')),
]


def by_query(text, decimal):
  given = readings.given('v', pa.string(), readings.Missing())
  number = written_numbers.number(given, pa.string(), decimal)
  with sql.connect() as connection:
    query = f'SELECT {number} FROM (SELECT {sql.literal(text)} AS v)'
    return sql.fetch_row(connection, query)[0]


@pytest.mark.parametrize(('decimal', 'text', 'number'), WRITTEN)
def test_numbers_that_people_wrote(decimal, text, number):
  assert by_query(f' {text}', decimal) == number


@pytest.mark.parametrize(('decimal', 'text'), NONE)
def test_text_that_is_no_number(decimal, text):
  assert by_query(text, decimal) is None


@hypothesis.given(
  strategies.integers(-(10**12), 10**12), strategies.integers(0, 999)
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_python_writes_is_read_back(whole, part):
  number = float(f'{whole}.{part:03d}')
  text = f'{whole:,}.{part:03d}'
  german = text.translate(str.maketrans(',.', '.,'))
  for written, decimal in ((text, '.'), (german, ',')):
    assert by_query(written, decimal) == number


def test_a_number_that_is_none_is_named(tmp_path):
  lines = ['user,item,ts,price,clicked']
  lines += [f'u{i % 3},a,{i}000,"{i},5",{i % 2}' for i in range(20)]
  lines[9] = 'u2,a,8000,3.5,0'
  path = tmp_path / 'log.csv'
  raw_files.write(path, lines)
  schema = raw_files.write_schema(
    tmp_path / 'schema.json',
    numeric=[{'column': 'price', 'decimal': ','}],
    tasks=['clicked'],
  )
  with pytest.raises(types.InputError) as error:
    raw_files.run(tmp_path, 'table', path, schema=schema, any_dates=True)
  assert str(error.value) == (
    f"{path}: row 10, column 'price': '3.5', expected a number written"
    ' like 1.200,50'
  )


@pytest.mark.parametrize('decimal', [{}, {'decimal': ','}])
@pytest.mark.parametrize('words', [{}, {'positive': ['1']}])
def test_text_of_nan_is_nothing(tmp_path, decimal, words):
  """In a number and in a label, whatever else is said of these."""
  lines = ['user,item,ts,price,clicked']
  lines += [f'u{i},a,{i}000,{i},{i % 2}' for i in range(20)]
  lines[3], lines[4] = 'u2,a,2000,NaN,nan', 'u2,a,3000,5,-nan'
  path = tmp_path / 'log.csv'
  raw_files.write(path, lines)
  schema = raw_files.write_schema(
    tmp_path / 'schema.json',
    numeric=[{'column': 'price', 'missing_indicator': True, **decimal}],
    tasks=[{'column': 'clicked', 'null': 'not_observed', **words}],
  )
  raw_files.run(tmp_path, 'table', path, schema=schema)
  rows = {row['row_id']: row for row in raw_files.read(tmp_path)}
  observed = [i for i, row in rows.items() if row['w_clicked'] > 0]
  assert 1 in observed and not {2, 3} & {*observed}
  missing = [i for i, row in rows.items() if row['x_price_missing'] > 0]
  assert missing == [2]
