"""What values of a column are."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import features, guess
from rmtl_jax.preparation.guess import sample as sample_lib
from tests.preparation.guess import logs

N = 300


def _facts(tmp_path, values, name='x'):
  _, facts = logs.sample_of(tmp_path, {name: values, 'n': range(N)})
  return facts[0]


def _guess(tmp_path, values, name='x'):
  columns = {name: values, 'n': range(len(values))}
  _, (facts, _) = logs.sample_of(tmp_path, columns)
  return features.guess(facts)


@pytest.mark.parametrize(
  ('values', 'kind', 'nothing'),
  [
    ([i % 9 for i in range(N)], 'number', ()),
    ([f'{i % 9}.0' for i in range(N)], 'number', ()),
    (['', 'NULL', '3'] * 100, 'number', ('NULL',)),
    # Between numbers `NA` is nothing; else it is a country.
    (['NA', '2', '3'] * 100, 'number', ('NA',)),
    (['NA', 'DE', '?'] * 100, 'text', ('?',)),
    (['2024-05-01', '2024-05-02', ''] * 100, 'time', ()),
    (['a|b', 'b|c', 'a'] * 100, 'list', ()),
    (['"1,12"', '"12,7"', '"7"', '"1,7"'] * 75, 'list', ()),
    (['"[1,3)"', '"[3,5)"'] * 150, 'text', ()),
    # Numbers as people write them are no lists.
    (['"1,50"', '"12,75"', '"1.200,00"'] * 100, 'text', ()),
    (['"1,500"', '"12,750"', '7'] * 100, 'text', ()),
    # Unless they may be ids.
    ([f'"{100 + i % 7},{110 + i % 5}"' for i in range(N)], 'list', ()),
    ([f'"{10 + i % 7},{20 + i % 5}"' for i in range(N)], 'list', ()),
    ([f'"{i % 7:03},{i % 5:03}"' for i in range(N)], 'list', ()),
    # `rmtl prepare` takes blanks for a text.
    (['1', ' ', '3.5'] * 100, 'number', (' ',)),
    (['n12 45', '45 n7', 'n12 n7', '45'] * 75, 'list', ()),
    (['yes', 'no', ''] * 100, 'text', ()),
    (['New York', 'Los Angeles', 'York'] * 100, 'text', ()),
  ],
)
def test_kinds(tmp_path, values, kind, nothing):
  facts = _facts(tmp_path, values)
  assert (facts.kind, facts.nothing) == (kind, nothing)


@pytest.mark.parametrize('values', ['ja nein', 'Oui Non', 'si no', 'sí no'])
def test_yes_and_no_of_other_languages(tmp_path, values):
  """The rarer of the two is not the positive one."""
  one, zero = values.split()
  assert _facts(tmp_path, [one, one, zero] * 100).truth == (one, zero)


def test_numbers_of_a_column(tmp_path):
  facts = _facts(tmp_path, ['', '5', '1.5'] * 100)
  assert (facts.filled, facts.distinct, facts.whole) == (200, 2, False)
  assert (facts.least, facts.largest, facts.median) == (1.5, 5, 3.25)
  assert facts.missing == pytest.approx(1 / 3)


def test_times_that_duckdb_can_not_read_are_named(tmp_path):
  far = pa.array([2**62] * 8, pa.int64()).cast(pa.timestamp('ms'))
  path = tmp_path / 'log.parquet'
  pq.write_table(pa.table({'click': [0, 1] * 4, 'seen': far}), path)
  with pytest.raises(types.InputError, match="column 'seen': not readable"):
    guess.guess(path)


def test_types_of_parquet(tmp_path):
  table = pa.table(
    {
      'flag': [True, False, None] * 100,
      'tags': [['a', 'b'], ['c'], None] * 100,
      'more': [{'a': 1}] * N,
      'nested': [[{'a': 1}], None, []] * 100,
      'coded': pa.array(['x', 'y', 'x'] * 100).dictionary_encode(),
      'gaps': pa.array([1.0, float('nan'), 2.0] * 100),
    }
  )
  pq.write_table(table, tmp_path / 'log.parquet')
  sample = sample_lib.read(tmp_path / 'log.parquet', 1000)
  flag, tags, more, nested, coded, gaps = facts_lib.find(sample)
  assert (flag.kind, flag.is_binary, flag.filled) == ('bool', True, 200)
  assert (tags.kind, tags.tokens, tags.filled) == ('list', 3, 200)
  assert tags.listed == 300
  assert (more.kind, nested.kind, coded.kind) == ('other', 'structs', 'text')
  assert (gaps.kind, gaps.filled, gaps.whole) == ('number', 200, True)


@pytest.mark.parametrize(
  ('name', 'values', 'kind', 'transform'),
  [
    ('x', [i % 5 for i in range(N)], 'numeric', 'standard'),
    ('x', [i % 5 + 80 for i in range(N)], 'numeric', 'standard'),
    ('x', [i % 4 * 10 + 1 for i in range(N)], 'numeric', 'standard'),
    (
      'x',
      [(2500, 6250, 8750, 12500)[i % 4] for i in range(N)],
      'numeric',
      'standard',
    ),
    ('x', [(101, 108, 113)[i % 3] for i in range(N)], 'categorical', ''),
    ('x', [(1, 204, 900)[i % 3] for i in range(N)], 'categorical', ''),
    ('x', [i % 3 - 1 for i in range(N)], 'categorical', ''),
    ('x', [i % 3 for i in range(N)], 'numeric', 'standard'),
    ('x', [(1, 2, 3, 4, 5, 9)[i % 6] for i in range(N)], 'categorical', ''),
    ('x', [(1, 2, 3, 98, 99)[i % 5] for i in range(N)], 'categorical', ''),
    ('x', [i % 5 or '' for i in range(N)], 'categorical', ''),
    ('x', [i % 4 - 1 for i in range(N)], 'categorical', ''),
    ('discount', ['1' if i % 2 else '' for i in range(N)], 'categorical', ''),
    ('price_in_currency', [3 * i + 7 for i in range(N)], 'numeric', 'standard'),
    ('YearsInCurrentRole', [i % 19 for i in range(N)], 'numeric', 'standard'),
    ('surface', [40 + i % 200 for i in range(N)], 'numeric', 'standard'),
    ('devicetype', [i % 5 for i in range(N)], 'categorical', ''),
    ('time_zone', [i % 5 for i in range(N)], 'categorical', ''),
    ('banner', [i % 5 for i in range(N)], 'categorical', ''),
    ('episode', [i % 15 for i in range(N)], 'numeric', 'standard'),
    ('Email', [i % 15 for i in range(N)], 'numeric', 'standard'),
    ('race_4', [i % 5 for i in range(N)], 'categorical', ''),
    ('race_size', [i % 5 for i in range(N)], 'numeric', 'standard'),
    ('nights_per_plan', [i % 5 for i in range(N)], 'numeric', 'standard'),
    ('teacher', [i % 8 for i in range(N)], 'categorical', ''),
    ('x', [i % 100 for i in range(N)], 'categorical', ''),
    ('x', [3 * i for i in range(N)], 'numeric', 'standard'),
    ('x', [i**3 for i in range(N)], 'numeric', 'standard'),
    ('x', [4 ** (i % 9) * 3 + i for i in range(N)], 'numeric', 'log1p'),
    ('x', [f'{i % 9:04}' for i in range(N)], 'categorical', ''),
    ('price', [i % 100 for i in range(N)], 'numeric', 'standard'),
    ('age', [i % 8 for i in range(N)], 'numeric', 'standard'),
    ('weekend_nights', [i % 15 for i in range(N)], 'numeric', 'standard'),
    ('spend_month_3', [i % 40 for i in range(N)], 'numeric', 'standard'),
    ('logins_day0', [i % 12 for i in range(N)], 'numeric', 'standard'),
    ('zip', [10000 + 7 * (i % 90) for i in range(N)], 'categorical', ''),
    ('ratio', [i % 7 / 8 for i in range(N)], 'numeric', 'standard'),
    ('row_id', range(N), '', ''),
    ('hash', [f'h{i}' for i in range(N)], '', ''),
    ('x', ['one'] * N, '', ''),
    ('x', [''] * N, '', ''),
  ],
)
def test_fields(tmp_path, name, values, kind, transform):
  found = _guess(tmp_path, values, name)
  expected = {'transform': 'log1p'} if transform == 'log1p' else {}
  assert (found.kind, found.more) == (kind, expected)


@pytest.mark.parametrize(
  ('values', 'kind'),
  [
    ([i % 1200 + 1 for i in range(7200)], 'categorical'),
    # Values that hardly come back, and amounts, which leave gaps.
    ([i % 2400 + 1 for i in range(7200)], 'numeric'),
    ([(i % 2000) ** 2 // 2000 for i in range(10_000)], 'numeric'),
    ([i % 1200 + 100 for i in range(7200)], 'numeric'),
  ],
)
def test_many_codes_fill_a_range_and_come_back(tmp_path, values, kind):
  assert _guess(tmp_path, values).kind == kind


def _bell(middle, width, numbers, most=40):
  """Numbers as often as a bell curve says."""
  return [
    number
    for number in range(numbers)
    for _ in range(round(most * math.exp(-(((number - middle) / width) ** 2))))
  ]


@pytest.mark.parametrize(
  ('values', 'kind'),
  [
    (_bell(30, 15, 80), 'numeric'),
    (_bell(6, 20, 60, 400), 'numeric'),
    # A number that stands for nothing is none of them.
    (['-99'] * 9 + _bell(30, 15, 80), 'numeric'),
    (['-99'] * 9 + [i % 60 for i in range(600)], 'categorical'),
    # The same numbers of rows, of codes in another order.
    ([value * 37 % 80 for value in _bell(30, 15, 80)], 'categorical'),
    # Numbered by how many rows a code has, from the most on or to the most;
    # and the same with some rows more or less.
    (
      [code for code in range(60) for _ in range(600 // (code + 5))],
      'categorical',
    ),
    (
      [59 - code for code in range(60) for _ in range(600 // (code + 5))],
      'categorical',
    ),
    (
      [code for code in range(60) for _ in range(600 // (code + 5) + code % 3)],
      'categorical',
    ),
  ],
)
def test_amounts_have_as_many_rows_as_the_next_one(tmp_path, values, kind):
  assert _guess(tmp_path, values).kind == kind


@pytest.mark.parametrize('sign', [' ', ','])
def test_few_long_lists_of_ids(tmp_path, sign):
  # 40 histories of twelve news each, of 240 different ones.
  news = [[f'N{(i * 13 + 20 * k) % 240}' for k in range(12)] for i in range(40)]
  values = ['"' + sign.join(news[i % 40]) + '"' for i in range(N)]
  found = _guess(tmp_path, values)
  assert (found.kind, found.more) == ('multi_valued', {'separator': sign})


def test_lists_of_values_that_hardly_come_back_are_left_out(tmp_path):
  vectors = [[0.001 * i + k for k in range(4)] for i in range(N)]
  table = pa.table({'x': vectors})
  pq.write_table(table, tmp_path / 'log.parquet')
  sample = sample_lib.read(tmp_path / 'log.parquet', 1000)
  found = features.guess(facts_lib.find(sample)[0])
  assert (found.kind, found.why) == (
    '',
    'lists of values that hardly come back',
  )


def test_lists_in_brackets_are_said(tmp_path):
  """As pandas writes a list to CSV; an interval ends in another bracket."""
  feature = _guess(tmp_path, [f"['B{i}' 'B{i % 7}']" for i in range(80)] * 3)
  assert (feature.kind, feature.why) == (
    '',
    'lists in brackets: docs/own_data.md#other-forms parts them',
  )
  cut = _guess(tmp_path, [f'[{i}; {i + 1})' for i in range(80)] * 3)
  assert cut.kind == 'categorical'


def test_structs_are_left_out_and_said_to_have_parts(tmp_path):
  table = pa.table({'visitor': [{'id': f'v{i}'} for i in range(20)]})
  pq.write_table(table, tmp_path / 'log.parquet')
  sample = sample_lib.read(tmp_path / 'log.parquet', 1000)
  feature = features.guess(facts_lib.find(sample)[0])
  assert feature.kind == ''
  assert feature.why.endswith('#other-forms makes columns of a struct')


@pytest.mark.parametrize('number', ['1e31', '-2e43'])
def test_numbers_that_prepare_refuses_are_left_out(tmp_path, number):
  feature = _guess(tmp_path, [number, '5', '1.5'] * 100)
  assert feature.kind == ''
  assert feature.why == 'numbers beyond 1e+30 in size, which no field reads'


def test_a_single_negative_number_stands_for_nothing(tmp_path):
  values = ['-1', '0.5', '2.5'] * 100
  facts = _facts(tmp_path, values, 'price')
  assert (facts.sentinel, facts.least, facts.median) == (-1, 0.5, 1.5)
  assert _guess(tmp_path, values, 'price').more == {'null': ['-1']}
  # A code of its own among codes, and a number among others.
  sign = _guess(tmp_path, [-1, 0, 1] * 100)
  assert (sign.kind, sign.more) == ('categorical', {})
  # Lower, equal and higher, as a competitor's price in Expedia's `comp1_rate`.
  sign = _guess(tmp_path, [-1, 0, 1] * 100, 'comp1_rate')
  assert (sign.kind, sign.more) == ('numeric', {})
  assert _guess(tmp_path, [-1, -2, 900] * 100).more == {}


@pytest.mark.parametrize(
  ('values', 'truth'),
  [
    (['Yes', 'No', ''] * 100, ('Yes', 'No')),
    ([-1, 1, 1] * 100, ('1', '-1')),
    ([1, '', ''] * 100, ('1', '')),
    (['true', 'false', 'true'] * 100, ('true', 'false')),
    ([0, 1, 1] * 100, None),
    (['red', 'blue', 'red'] * 100, None),
    ([1, 1, 1] * 100, None),
    (['yes', '', ''] * 100, ('yes', '')),
    (['não', 'sim', 'sim'] * 100, ('sim', 'não')),
    (['ja', 'nee', 'ja'] * 100, ('ja', 'nee')),
    (['Yes', 'yes', ''] * 100, ('Yes', '')),
    (['Yes', 'yes', 'No'] * 100, ('Yes', 'No')),
    (['Yes', 'NA', 'No'] * 100, ('Yes', 'No')),
    (['Yes', 'NA', 'maybe'] * 100, None),
    (['yes', 'yes', 'yes'] * 100, None),
    (['red', '', ''] * 100, None),
  ],
)
def test_values_that_stand_for_0_and_1(tmp_path, values, truth):
  assert _facts(tmp_path, values).truth == truth


@pytest.mark.parametrize('values', [(1.0, -1.0), (1.0, ''), ('y', '')])
def test_numbers_of_two_values(tmp_path, values):
  columns = {'x': [*values] * 150, 'n': range(300)}
  sample, (facts, _) = logs.sample_of(tmp_path, columns)
  found = sample.fetch(facts.number, 'ORDER BY row_of_sample')
  assert found == [(1.0,), (0.0,)] * 150


@pytest.mark.parametrize(
  ('values', 'decimal', 'largest'),
  [
    (['$12.30', '$7.50', '12%'], '.', 12.3),
    (['"1,500"', '"12,750"', '7'], '.', 12750.0),
    ([f'"{i % 30 + 1},{i % 7}"' for i in range(70)], ',', 30.3),
    ([f'"{i},{i * 7 % 40}{i % 9 + 1}"' for i in range(35)], ',', 34.388),
    ([f'"{i % 9},{i:03}"' for i in range(90)], ',', 8.089),
    (['"12,5 %"', '"7,25 %"'], ',', 12.5),
    (['"1.250,00 €"', '"7,25 €"', 'NA'], ',', 1250.0),
    (['"0,2340"', '"12,3450"'], ',', 12.345),
    (['"12,50 zł"', '"7,25 zł"'], ',', 12.5),
    (['"R$ 1.250,00"', '"R$ 7,25"'], ',', 1250.0),
    (['"EUR 12,50"', '"EUR 7,25"'], ',', 12.5),
    (['"1 250,50 kr"', '"7,25 kr"'], ',', 1250.5),
    (['"₹1,500"', '₹750'], '.', 1500.0),
    (["CHF 1'250.50", 'CHF 7.25'], '.', 1250.5),
    (['1.250 kr', '850 kr'], ',', 1250.0),
    (['1 250 €', '12 500 €', '7 €'], '.', 12500.0),
    (['"1\u202f250,00"', '"12\u202f500,50"'], ',', 12500.5),
    # Thousands of those who write decimals with a comma.
    (['1.250 €', '850 €', '12.500 €'], ',', 12500.0),
    (['$1.250', '$3.499', '$0.999'], '.', 3.499),
    (['"-1,234567"', '"2,1"'], ',', 2.1),
  ],
)
def test_numbers_that_people_wrote(tmp_path, values, decimal, largest):
  found = _guess(tmp_path, values * 100)
  assert (found.kind, found.more['decimal']) == ('numeric', decimal)
  assert f' to {largest:g}, median' in found.why


@pytest.mark.parametrize(
  ('values', 'said'),
  [
    (['1-2', '12', 'a7'], 'text'),
    (['"1,234.50"', '"12,50"', '7'], 'text'),
    # Pairs of ids.
    ([f'{i % 30 + 1} {i % 29 + 800}' for i in range(90)], 'lists of'),
    ([f'"{i % 30 + 1000},{i % 29 + 1800}"' for i in range(90)], 'lists of'),
    ([f'"{i % 9 + 1},1000{i % 7}"' for i in range(90)], 'lists of'),
    ([f'"{i % 8 + 1},{i % 7 + 1}"' for i in range(70)], 'lists of 8'),
    ([f'"{i % 30 + 10},{i % 29 + 11}"' for i in range(90)], 'lists of 30'),
  ],
)
def test_text_that_is_no_number(tmp_path, values, said):
  found = _guess(tmp_path, values * 100)
  is_list = said.startswith('lists')
  assert found.kind == ('multi_valued' if is_list else 'categorical')
  assert found.why.startswith(said)


def test_the_number_of_a_row_is_known_by_its_name(tmp_path):
  for name in ('Unnamed: 0', '__index_level_0__'):
    found = _guess(tmp_path, [i // 2 for i in range(N)], name)
    assert (found.kind, 'pandas' in found.why) == ('', True)


@pytest.mark.parametrize('name', ['Lead Number', 'policy_no'])
def test_the_only_number_of_a_thing_is_no_amount(tmp_path, name):
  assert (
    _guess(tmp_path, [i * 7919 % 100_003 for i in range(N)], name).kind == ''
  )


@pytest.mark.parametrize('name', ['idno', 'Customer Number'])
def test_numbers_that_nobody_shares_are_no_amounts(tmp_path, name):
  assert (
    _guess(tmp_path, [i * 7919 % 100_003 for i in range(N)], name).kind == ''
  )


@pytest.mark.parametrize('name', ['id', 'order_id'])
def test_ids_that_hardly_come_back_are_left_out(tmp_path, name):
  values = [max(i, 9) * 7919 % 100_003 for i in range(N)]
  assert _guess(tmp_path, values, name).why == 'ids that hardly come back'


@pytest.mark.parametrize('name', ['Alter', 'episodes', 'precio'])
def test_further_names_of_amounts(tmp_path, name):
  assert _guess(tmp_path, [i % 40 for i in range(N)], name).kind == 'numeric'


def test_an_amount_may_be_called_no(tmp_path):
  """Nitric oxide, of the air."""
  assert _guess(tmp_path, [i * 7 % 290 + 5 for i in range(N)], 'NO').kind == (
    'numeric'
  )
