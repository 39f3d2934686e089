"""Data sets of R packages as logs, which `rmtl prepare` takes; their labels."""

import json

import duckdb
import pytest

import rmtl_jax
from benchmarks import r_logs
from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config

_INPUTS = {
  'insteval': (
    'rownames,s,d,studage,lectage,service,dept,y\n',
    [f'{i},{i % 5},{i % 3},2,1,0,2,{1 + i % 5}' for i in range(40)],
  ),
  'verbagg': (
    'rownames,Anger,Gender,item,resp,id,btype,situ,mode,r2\n',
    [
      f'{i},{i % 20},F,S{i % 4},{("no", "perhaps", "yes")[i % 3]},{i % 7},'
      'curse,other,want,N'
      for i in range(40)
    ],
  ),
  'doctor': (
    'rownames,id,docvis,hospvis,year,edlevel,age,outwork,female,married,kids,'
    'hhninc,educ,self,edlevel1\n',
    [
      f'{i},{i // 5},{i % 4},{i // 3 % 2},{1984 + i % 5},{1 + i % 4},{40 + i},'
      f'0,1,{i % 2},0,3.{i},{7 + i % 9},0,0'
      for i in range(40)
    ],
  ),
  'insurance': (
    'rownames,plan,site,coins,tookphys,year,zper,black,income,xage,female,'
    'educdec,totadm,mdvis,num,mhi,disea,physlm,ghindx,mdeoff,pioff,child,'
    'hlthg,hlthf,hlthp\n',
    [
      f'{i},{1 + i % 3},1,100.0,0,{1 + i % 5},{125024 + i // 5}.0,1.0,137{i}.5,'
      f'{20 + i}.5,0,12.0,{i // 3 % 2}.0,{i % 3}.0,4.0,95.{i},1{i}.7,0.0,NA,'
      '1000.0,1000.0,0,1,0,0'
      for i in range(40)
    ],
  ),
  'chemistry': (
    'rownames,lea,school,student,score,gender,age,gcsescore,gcsecnt\n',
    [
      f'{i},{1 + i % 3},{i % 7},{i},{2 * (i % 6)},{"FM"[i % 2]},{i % 12 - 6},'
      f'{5 + i / 20},0.3'
      for i in range(40)
    ],
  ),
  'stops': (
    'rownames,idNum,date,problem,MDC,citationIssued,personSearch,vehicleSearch,'
    'preRace,race,gender,lat,long,policePrecinct,neighborhood\n',
    [
      f'{i},17-{i},2017-01-{1 + (7 * i) % 28:02}T06:00:42Z,traffic,'
      f'{"other" if i == 3 else "MDC"},NA,{("NO", "YES", "NA")[i % 3]},'
      f'{("YES", "NO")[i % 2]},NA,White,Male,44.9{i},-93.2,1,Whittier {i % 2}'
      for i in range(40)
    ],
  ),
}


def written(name, directory):
  """The log of the rows above, and how many there are."""
  header, rows = _INPUTS[name]
  source = directory / f'{name}_input.csv'
  source.write_text(header + '\n'.join(rows) + '\n')
  count = r_logs.write(name, source, directory / name)
  return directory / name / f'{name}.csv', count


@pytest.mark.parametrize('name', r_logs.LOGS)
def test_prepare_takes_every_log(name, tmp_path):
  path, count = written(name, tmp_path)
  schema = json.loads((path.parent / 'schema.json').read_text())
  manifest = rmtl_jax.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(path),
      schema=str(path.parent / 'schema.json'),
      data_dir=str(tmp_path / 'data'),
      any_dates=True,  # of years ago
    )
  )
  assert sum(one.rows for one in manifest.splits.values()) == count
  assert list(manifest.task_names) == [t['name'] for t in schema['tasks']]


def test_labels_by_hand(tmp_path):
  def rows(name, columns):
    path, _ = written(name, tmp_path)
    with duckdb.connect() as connection:
      return connection.execute(f"SELECT {columns} FROM '{path}'").fetchall()

  # Marks of 1 to 5.
  assert rows('insteval', 'good, best')[:5] == [
    *[(0, 0)] * 3,
    (1, 0),
    (1, 1),
  ]
  assert rows('verbagg', 'perhaps, yes')[:3] == [(0, 0), (1, 0), (1, 1)]
  assert rows('doctor', 'doctor, hospital')[:4] == [
    *[(0, 0), (1, 0), (1, 0)],
    (1, 1),
  ]
  assert rows('insurance', 'doctor, hospital')[2:4] == [(1, 0), (0, 1)]
  assert rows('chemistry', 'good, best')[2:6] == [
    *[(0, 0), (1, 0), (1, 0)],
    (1, 1),
  ]
  # By date; row 3 has no form, and what was not filled in was not searched.
  stops = rows('stops', 'lat, person_search, vehicle_search')
  assert len(stops) == 39 and stops[0] == (44.90, 0, 1)
  assert stops[1] == (44.94, 1, 1)


def test_a_file_of_something_else_is_refused(tmp_path):
  source = tmp_path / 'other.csv'
  with pytest.raises(types.InputError, match=r'other\.csv'):
    r_logs.write('stops', source, tmp_path / 'out')
  source.write_text('a,b\n1,2\n')
  with pytest.raises(types.InputError, match='MDC'):
    r_logs.write('stops', source, tmp_path / 'out')
  assert not (tmp_path / 'out/schema.json').exists()
