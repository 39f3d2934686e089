"""Data sets of R packages as logs, which `rmtl prepare` takes; their labels."""

import pytest

from benchmarks import r_logs, raw_logs
from rmtl_jax import types
from tests import tiers
from tests.benchmarks import raw_tables

_INPUTS = {
  'visits': (
    'rownames,ofp,ofnp,opp,opnp,emr,hosp,numchron,adldiff,age,black,sex,maried,'
    'school,faminc,employed,privins,medicaid,region,hlth\n',
    [
      f'{i},{i % 9},{i % 5},0,{i % 3},{i % 3},{i // 2 % 2},2,0,6.{i % 9},yes,'
      f'{("male", "female")[i % 2]},yes,6,2.{i},yes,yes,no,other,other'
      for i in range(40)
    ],
  ),
  'resume': (
    'rownames,name,gender,ethnicity,quality,call,city,jobs,experience,honors,'
    'volunteer,military,holes,school,email,computer,special,college,minimum,'
    'equal,wanted,requirements,reqexp,reqcomm,reqeduc,reqcomp,reqorg,industry'
    '\n',
    [
      f'{i},{("Allison", "Ebony")[i % 2]},female,cauc,low,'
      f'{("no", "no", "yes")[i % 3]},chicago,{i % 7},{i},no,no,no,yes,no,no,'
      'yes,no,yes,5,yes,manager,yes,yes,no,no,yes,no,trade'
      for i in range(40)
    ],
  ),
  'lending': (
    'rownames,funded_amnt,term,int_rate,sub_grade,addr_state,'
    'verification_status,annual_inc,emp_length,delinq_2yrs,inq_last_6mths,'
    'revol_util,acc_now_delinq,open_il_6m,open_il_12m,open_il_24m,total_bal_il,'
    'all_util,inq_fi,inq_last_12m,delinq_amnt,num_il_tl,'
    'total_il_high_credit_limit,Class\n',
    [
      f'{i},{100 * i},term_36,13.{i},C{i % 5},CT,Verified,35000.0,emp_5,0,0,'
      f'6{i % 9}.4,0,1,0,0,10{i},48,0,{i % 4},0,3,13{i},'
      f'{("good", "bad", "good")[i % 3]}'
      for i in range(40)
    ],
  ),
  'cracker': (
    'rownames,id,disp.sunshine,disp.kleebler,disp.nabisco,disp.private,'
    'feat.sunshine,feat.kleebler,feat.nabisco,feat.private,price.sunshine,'
    'price.kleebler,price.nabisco,price.private,choice\n',
    [
      f'{i},{1 + i // 4},0,{i % 2},0,0,0,0,1,0,98.0,88.{i % 9},120.0,{40 + i},'
      f'{("nabisco", "private", "sunshine")[i % 3]}'
      for i in range(40)
    ],
  ),
  'star': (
    'rownames,id,sch,gr,cltype,hdeg,clad,exp,trace,read,math,ses,schtype,sx,'
    'eth,birthq,birthy,yrs,tch\n',
    [
      f'{i},{100 + i % 10},{20 + i % 3},{"K123"[i // 10]},small,BS/BA,1,3.0,B,'
      f'{"NA" if i in (4, 5) else 400 + i % 10},{"NA" if i == 5 else 500 - i},'
      'F,inner,F,B,1980:1,1980.0,0,478'
      for i in range(40)
    ],
  ),
  'swissmetro': (
    'GROUP,SURVEY,SP,ID,PURPOSE,FIRST,TICKET,WHO,LUGGAGE,AGE,MALE,INCOME,GA,'
    'ORIGIN,DEST,TRAIN_AV,CAR_AV,SM_AV,TRAIN_TT,TRAIN_CO,TRAIN_HE,SM_TT,SM_CO,'
    'SM_HE,SM_SEATS,CAR_TT,CAR_CO,CHOICE\n',
    [
      f'2,0,1,{i // 4},1,0,1,1,0,{i % 6},0,2,0,{i % 9},1,1,{int(i != 1)},1,'
      f'11{i % 9},48,120,6{i % 9},52,20,0,{40 if i == 1 else 117},65,{i % 4}'
      for i in range(40)
    ],
  ),
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
  return raw_tables.written(r_logs.LOGS, _INPUTS, name, directory)


@pytest.mark.parametrize(
  'name', tiers.some(r_logs.LOGS, ('star', 'swissmetro', 'insteval'))
)
def test_prepare_takes_every_log(name, tmp_path):
  path, count = written(name, tmp_path)
  raw_tables.check_prepare_takes(path, count, tmp_path / 'data')


def test_labels_by_hand(tmp_path):
  def rows(name, columns):
    path, _ = written(name, tmp_path)
    return raw_tables.read(path, f"SELECT {columns} FROM '{{path}}'")

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


def test_labels_of_choices_and_grades_by_hand(tmp_path):
  def rows(name, query):
    path, _ = written(name, tmp_path)
    return raw_tables.read(path, query)

  visits = rows('visits', "SELECT hospital, emergency FROM '{path}'")
  assert visits[:4] == [(0, 0), (0, 1), (1, 1), (1, 0)]
  assert rows('resume', "SELECT call FROM '{path}'")[:3] == [(0,), (0,), (1,)]
  assert rows('lending', "SELECT bad FROM '{path}'")[:3] == [(0,), (1,), (0,)]
  # Four rows of an occasion, of which one was chosen.
  cracker = rows('cracker', "SELECT * EXCLUDE feature FROM '{path}'")
  assert len(cracker) == 160
  assert cracker[:4] == [
    (0, 1, 'kleebler', 88.0, 0, 0),
    (0, 1, 'nabisco', 120.0, 0, 1),
    (0, 1, 'private', 40.0, 0, 0),
    (0, 1, 'sunshine', 98.0, 0, 0),
  ]
  # Above the median of its grade: 404.5 of eight who read, 496 of nine.
  star = rows(
    'star',
    "SELECT year::VARCHAR, id, good_read, good_math FROM '{path}' LIMIT 9",
  )
  assert star == [
    *[('1986-05-01', 100 + i, 0, 1) for i in range(4)],
    ('1986-05-01', 104, None, 0),
    *[('1986-05-01', 106 + i, 1, 0) for i in range(4)],
  ]
  # Without the rows that chose nothing, and the car that nobody has.
  modes = rows(
    'swissmetro',
    """
    SELECT situation, mode, chosen, minutes FROM '{path}' LIMIT 5
    """,
  )
  assert modes == [
    *[(1, 'SM', 0, 61.0), (1, 'TRAIN', 1, 111.0)],
    *[(2, 'CAR', 0, 117.0), (2, 'SM', 1, 62.0), (2, 'TRAIN', 0, 112.0)],
  ]


def test_a_file_of_something_else_is_refused(tmp_path):
  source = tmp_path / 'other.csv'
  with pytest.raises(types.InputError, match=r'other\.csv'):
    raw_logs.write('stops', r_logs.LOGS['stops'], source, tmp_path / 'out')
  source.write_text('a,b\n1,2\n')
  with pytest.raises(types.InputError, match='MDC'):
    raw_logs.write('stops', r_logs.LOGS['stops'], source, tmp_path / 'out')
  assert not (tmp_path / 'out/schema.json').exists()
