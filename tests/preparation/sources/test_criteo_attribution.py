from __future__ import annotations

from tests.preparation import raw_files

CATEGORIES = tuple(f'cat{i}' for i in range(1, 10))
COLUMNS = (
  *('timestamp', 'uid', 'campaign', 'conversion', 'conversion_timestamp'),
  *('conversion_id', 'attribution', 'click', 'click_pos', 'click_nb', 'cost'),
  *('cpo', 'time_since_last_click', *CATEGORIES),
)


def banner(time, uid=1, click=0, conversion=0, attribution=0, **changes):
  values = dict.fromkeys(COLUMNS, '-1')
  values |= {name: i for i, name in enumerate(CATEGORIES)}
  values |= {
    'timestamp': time,
    'uid': uid,
    'campaign': 8,
    'click': click,
    'conversion': conversion,
    'attribution': attribution,
    'cost': 0.5,
    'conversion_timestamp': time + 60 if conversion else -1,
  }
  return values | changes


def write(tmp_path, rows, columns=COLUMNS):
  lines = ['\t'.join(columns)]
  lines += ['\t'.join(str(row[name]) for name in columns) for row in rows]
  raw_dir = tmp_path / 'raw'
  raw_files.write(raw_dir / 'criteo_attribution_dataset.tsv.gz', lines)
  return raw_dir


def read(raw_dir):
  return raw_files.read_source('criteo_attribution', raw_dir)


def test_labels_are_a_funnel_with_times(tmp_path):
  rows = [
    banner(0),
    banner(7200, 2, click=1, time_since_last_click=5),
    banner(7201, 2, click=1, conversion=1, attribution=1),
    banner(7202, 2, conversion=1, attribution=1),  # not clicked
    banner(7203, 2, click=1, conversion=1),
  ]
  table, found = read(write(tmp_path, rows))
  assert [row['timestamp'] for row in found][:2] == [0, 7_200_000]
  assert [row['y_click'] for row in found] == [0, 1, 1, 0, 1]
  converted = [None, None, 7_261_000, None, 7_263_000]
  assert [row['t_conversion'] for row in found] == converted
  assert [row['t_attribution'] for row in found] == [
    *converted[:4],
    None,
  ]
  assert [row['f_hour'] for row in found] == [0, 2, 2, 2, 2]
  since = [row['x_time_since_last_click'] for row in found]
  assert since == [None, 5, None, None, None]
  names = {field.name for field in table.fields}
  assert names == {
    *('uid', 'campaign', 'hour', 'cost', 'time_since_last_click'),
    *CATEGORIES,
  }
