"""More data sets as logs, which `rmtl prepare` takes; their labels."""

import pathlib
import subprocess
import sys

import pytest

from benchmarks import more_r_logs
from tests import tiers
from tests.benchmarks import raw_tables

_ROOT = pathlib.Path(__file__).parents[2]
_INDUSTRIES = 'agric,bus,construc,ent,fin,manuf,min,per,pro,pub,tra,trad'
_CAR = ('type', 'fuel', 'price', 'range', 'acc', 'speed', 'pollution', 'size')
_CAR += ('space', 'cost', 'station')
_LOAN = more_r_logs.LOGS['loanapp'].schema


def ones(count, place):
  """Columns of zeros, of which one is 1; none if there is no such place."""
  return ','.join(str(int(i == place)) for i in range(count))


_INPUTS = {
  'restaurants': (
    'business_name,inspection_score,Year,NumberofLocations,Weekend\n',
    [
      f'PUB {i % 7},{(100, 90, 89)[i % 3]},{2019 - i % 4},{1 + i % 7},False'
      for i in range(40)
    ],
  ),
  'happiness': (
    'year,workstat,prestige,divorce,widowed,educ,reg16,babies,preteen,teens,'
    'income,region,attend,happy,tvhours,vhappy,mothfath16,black,female\n',
    [
      f'{1994 + i // 8 * 2},retired,{20 + i}.0,no,iap,1{i % 9}.0,foreign,0.0,'
      f'{i % 3}.0,0.0,,pacific,never,'
      f'{("not too happy", "pretty happy", "very happy")[i % 3]},2.0,'
      f'{int(i % 3 == 2)},{i % 2}.0,0,1'
      for i in range(40)
    ],
  ),
  'scorecard': (
    'unitid,state_abbr,pred_degree_awarded_ipeds,year,earnings_med,'
    'count_not_working,count_working\n',
    [
      '1,AL,Four-year+ degree,2007,39999.0,20.0,80.0',
      '2,AL,Four-year+ degree,2007,40000.0,19.0,81.0',
      '3,AL,Four-year+ degree,2007,,30.0,10.0',
      '4,AL,Four-year+ degree,2007,50000.0,,10.0',
      '5,AL,Four-year+ degree,2007,,,10.0',
      *(
        f'{i % 9},AK,Two-year degree,{2009 + i // 9},{30 + i}000.0,{i}.0,100.0'
        for i in range(36)
      ),
    ],
  ),
  'wagepan': (
    f'nr,year,black,hisp,married,rur,educ,exper,hours,lwage,{_INDUSTRIES},'
    'occ1,occ2,occ3,occ4,occ5,occ6,occ7,occ8,nrthcen,nrtheast,south,union\n',
    [
      f'{13 + i % 5},{1980 + i // 5},0,0,{i % 2},0,14,{i // 5},{2198 + i},1.{i}'
      f',{ones(12, i % 13)},{ones(8, i % 9)},{ones(3, i % 4)},{i % 2}'
      for i in range(40)
    ],
  ),
  'labor': (
    'rownames,lnhr,lnwg,kids,age,disab,id,year\n',
    [
      f'{i},7.{69 + i % 2},1.{i},{i % 3},{27 + i % 8},{i % 2},{1 + i // 8},'
      f'{1979 + i % 8}'
      for i in range(40)
    ],
  ),
  'muscatine': (
    'rownames,id,gender,base_age,age,occasion,obese,numobese\n',
    [
      f'{i},{i // 3},{"MF"[i % 2]},6,{6 + i % 3 * 2},{1 + i % 3},'
      f'{("yes", "NA", "no", "no", "yes")[i % 5]},1.0'
      for i in range(60)
    ],
  ),
  'alcohol': (
    'abuse,unemrate,age,educ,married,famsize,white,exhealth,vghealth,'
    'goodhealth,fairhealth,northeast,midwest,south,centcity,outercity,qrt1,'
    'qrt2,qrt3,beertax,cigtax,ethanol,mothalc,fathalc,livealc,employ\n',
    [
      f'{int(i % 5 == 0)},4.{i},{20 + i},12,1,{1 + i % 4},1,{ones(4, i % 5)},'
      f'{ones(3, i % 4)},0,1,{ones(3, i % 4)},0.3,38.0,2.{i},0,0,0,{i % 2}'
      for i in range(40)
    ],
  ),
  'labsup': (
    'morekids,boy1st,boy2nd,samesex,multi2nd,age,agefstm,black,hispan,worked,'
    'nonmomi,educ\n',
    [
      f'{i % 2},0,{i % 2},{1 - i % 2},0,{21 + i % 14},{17 + i % 4},1,0,'
      f'{i // 2 % 2},{i}.5,12'
      for i in range(40)
    ],
  ),
  'mortgages': (
    'bpl,qob,nonwhite,vet_wwko,home_ownership,qob_minus_kw\n',
    [
      f'{("Texas", "Ohio")[i // 4 % 2]},{1 + i % 4},0,{i // 8 % 2},'
      f'{i // 4 % 2},-{i}.5'
      for i in range(160)
    ],
  ),
  'injury': (
    'durat,afchnge,highearn,male,married,hosp,indust,injtype,age,prewage,'
    'totmed,injdes,benefit,ky\n',
    [
      f'{3 + i % 3}.0,1,{i % 2},1.0,,0,3.0,1,{26 + i}.0,{300 + i}.9,'
      f'{(999.9, 1000.0)[i % 2]},{1000 + i % 3},246.8,1'
      for i in range(40)
    ],
  ),
  'catholic': (
    'id,read12,math12,female,asian,hispan,black,motheduc,fatheduc,lfaminc,'
    'hsgrad,cathhs,parcath\n',
    [
      f'{i},6{i % 9}.4,49.{i},{i % 2},0,0,0,14.0,12.0,10.3,{"10."[i % 3]},'
      f'{i // 2 % 2},1'
      for i in range(40)
    ],
  ),
  'loanapp': (
    'action,msa,reject,mortno,mortperf,white,approve,'
    + ','.join([*_LOAN['categorical'], *_LOAN['numeric']])
    + '\n',
    [
      f'1,1120,{i % 2},1,2,1,{1 - i % 2},'
      + ','.join([str(i // 2 % 2)] * len(_LOAN['categorical']))
      + ','
      + ','.join([f'{i}.5'] * len(_LOAN['numeric']))
      for i in range(40)
    ],
  ),
  'cdnow': (
    'customer_id,date,number_of_cds,dollar_value\n',
    [
      '00001,19970101,1,11.50',
      '00001,19970101,2,29.50',  # the same day
      '00001,19970401,1,30.00',  # 90 days later, 30 dollars
      '00001,19970701,1,30.01',  # 91 days later
      '00001,19970702,1,30.01',  # a day later, more than 30 dollars
      '00001,19980331,1,14.00',
      '00001,19980629,3,50.00',  # 90 days later, after the log's end
      *(
        f'{2 + i % 5:05},1997{1 + i // 5:02}{1 + i % 28:02},1,{8 + i}.00'
        for i in range(40)
      ),
    ],
  ),
  'storms': (
    'rownames,name,year,month,day,hour,lat,long,status,category,wind,'
    'pressure\n',
    [
      # As texts these hours would have another order, and so their winds.
      '1,Amy,1975,6,27,0,27.5,-79.0,tropical depression,,25,1013',
      '2,Amy,1975,6,27,6,28.5,-79.0,tropical storm,,60,1013',
      '3,Amy,1975,6,27,12,29.5,-79.0,hurricane,1,105,1000',
      '4,Amy,1975,6,27,18,30.5,-79.0,hurricane,1,75,1000',
      '5,Amy,1976,6,27,18,30.5,-79.0,hurricane,1,80,1000',  # another one
      *(
        f'{6 + i},Bob,{1977 + i // 10},7,{1 + i % 10},0,27.{i},-7{i % 9}.0,'
        f'{("hurricane", "tropical storm")[i % 2]},,{60 + i % 3},1000'
        for i in range(40)
      ),
    ],
  ),
  'migraines': (
    'rownames,id,time,dos,hatype,age,airq,medication,headache,sex\n',
    [
      f'{i},{i // 8},{i % 8 - 3},{100 - i % 8},Aura,30,{i}.0,none,'
      f'{("yes", "no")[i % 2]},female'
      for i in range(40)
    ],
  ),
  'email': (
    'rownames,spam,to_multiple,from,cc,sent_email,time,image,attach,dollar,'
    'winner,inherit,viagra,password,num_char,line_breaks,format,re_subj,'
    'exclaim_subj,urgent_subj,exclaim_mess,number\n',
    [
      f'{i},{i % 2},0,1,0,0,2012-01-{28 - i % 28:02}T0{i // 28}:16:41Z,0,0,'
      f'{i % 4},no,0,0,0,11.{i},20{i},1,0,0,0,{i % 5},big'
      for i in range(40)
    ],
  ),
  'ketchup': (
    'rownames,Ketchup.hid,Ketchup.id,Ketchup.choice,price.heinz,price.hunts,'
    'price.delmonte,price.stb\n',
    [
      f'{i},{1 + i // 4},{i},{("heinz", "stb")[i % 2]},1.6,1.4,1.{i},0.8'
      for i in range(40)
    ],
  ),
  'yogurt': (
    'rownames,id,feat.yoplait,feat.dannon,feat.hiland,feat.weight,'
    'price.yoplait,price.dannon,price.hiland,price.weight,choice\n',
    [
      f'{i},{1 + i // 4},{i % 2},0,0,1,12.0,9.0,6.0,7.5,'
      f'{("weight", "dannon")[i % 2]}'
      for i in range(40)
    ],
  ),
  'tuna': (
    'rownames,Tuna.hid,Tuna.id,Tuna.choice,price.skw,price.cosw,price.sko,'
    'price.coso,price.pw\n',
    [
      f'{i},{1 + i // 4},{i},{("skw", "pw")[i % 2]},0.75,0.5,0.8,0.{60 + i},1.0'
      for i in range(40)
    ],
  ),
  'train': (
    'rownames,id,choiceid,choice,price1,time1,change1,comfort1,price2,time2,'
    'change2,comfort2\n',
    [
      f'{i},{1 + i // 4},{i},choice{1 + i % 2},2400,150,0,1,{3200 + i},130,1,0'
      for i in range(40)
    ],
  ),
  'electricity': (
    '"choice","id","alt","pf","cl","loc","wk","tod","seas","chid"\n',
    [
      f'{("FALSE", "TRUE")[i % 4 == i // 4 % 4]},{1 + i // 8},{1 + i % 4},'
      f'{i % 9},5,0,1,0,0,{1 + i // 4}'
      for i in range(80)
    ],
  ),
  'modecanada': (
    ',case,alt,choice,dist,cost,ivt,ovt,freq,income,urban,noalt\n',
    [
      f'{i},{1 + i // 2},{("train", "car")[i % 2]},{int(i % 2 == i // 2 % 2)},'
      f'83,{28 + i}.25,{50 + i},66,{4 * (1 - i % 2)},45,0,2'
      for i in range(80)
    ],
  ),
  'car': (
    'rownames,choice,college,hsg2,coml5,'
    + ','.join(f'{name}{car}' for name in _CAR for car in range(1, 7))
    + '\n',
    [
      f'{i},choice{1 + i % 6},0,{i % 2},0,'
      + ','.join(
        {'type': 'van', 'fuel': 'cng'}.get(name, str(10 * car + i % 7))
        for name in _CAR
        for car in range(1, 7)
      )
      for i in range(40)
    ],
  ),
  'catsup': (
    'rownames,id,disp.heinz41,disp.heinz32,disp.heinz28,disp.hunts32,'
    'feat.heinz41,feat.heinz32,feat.heinz28,feat.hunts32,price.heinz41,'
    'price.heinz32,price.heinz28,price.hunts32,choice\n',
    [
      f'{i},{1 + i // 4},0,0,1,0,{i % 2},0,0,0,4.6,3.{i},5.2,3.4,'
      f'{("heinz28", "hunts32")[i % 2]}'
      for i in range(40)
    ],
  ),
  'fishing': (
    'rownames,mode,price,catch,pbeach,ppier,pboat,pcharter,cbeach,cpier,cboat,'
    'ccharter,income\n',
    [
      f'{i},{("charter", "pier")[i % 2]},18.5,0.5,15.{i},15.5,10.5,18.5,0.1,'
      f'0.05,0.3,0.5,{1000 + i}.9'
      for i in range(40)
    ],
  ),
}


def written(name, directory):
  return raw_tables.written(more_r_logs.LOGS, _INPUTS, name, directory)


@pytest.fixture
def rows(tmp_path):
  """Rows of columns of a log."""

  def read(name, columns, rest=''):
    path, _ = written(name, tmp_path)
    return raw_tables.read(path, f"SELECT {columns} FROM '{{path}}' {rest}")

  return read


@pytest.mark.parametrize(
  'name', tiers.some(more_r_logs.LOGS, ('car', 'fishing', 'tuna'))
)
def test_prepare_takes_every_log(name, tmp_path):
  path, count = written(name, tmp_path)
  raw_tables.check_prepare_takes(path, count, tmp_path / 'data')


def test_labels_of_a_year_by_hand(rows):
  # The rows of 2016, whose marks are 100, 89 and 90, come first.
  assert rows('restaurants', 'year::VARCHAR, good, perfect')[:3] == [
    *[('2016-01-01', 1, 1), ('2016-01-01', 1, 0), ('2016-01-01', 0, 0)]
  ]
  assert rows('happiness', 'vhappy, unhappy')[:3] == [(0, 1), (0, 0), (1, 0)]
  # 40,000 dollars, a fifth without work; nothing is known of the fifth.
  assert rows('scorecard', 'unitid, well_paid, idle')[:5] == [
    *[(1, 0, 1), (2, 1, 0), (3, None, 1), (4, 1, None)],
    (0, 0, 0),
  ]
  # ln(2200) is 7.696.
  assert rows('labor', 'id, long_hours, disab', 'LIMIT 1 OFFSET 5') == [
    (1, 1, 1)
  ]
  assert rows('labor', 'id, long_hours, disab')[0] == (1, 0, 0)
  # The one who was not seen in 1979 has no row.
  assert rows('muscatine', 'id, time::VARCHAR, obese', 'WHERE id < 2') == [
    *[(0, '1977-01-01', 1), (1, '1977-01-01', 0)],
    (1, '1979-01-01', 1),
    *[(0, '1981-01-01', 0), (1, '1981-01-01', 1)],
  ]


def test_labels_without_time_by_hand(rows):
  assert rows('labsup', 'worked, morekids')[:3] == [(0, 0), (0, 1), (1, 0)]
  # Every fourth row.
  assert rows('mortgages', 'qob_minus_kw, vet_wwko, home_ownership')[:3] == [
    *[(-0.5, 0, 0), (-4.5, 0, 1), (-8.5, 1, 0)]
  ]
  # More than four weeks; 1,000 dollars.
  assert rows('injury', 'lasting, costly')[:3] == [(0, 0), (0, 1), (1, 0)]
  assert rows('catholic', 'hsgrad, cathhs')[:3] == [(1, 0), (0, 0), (None, 1)]
  assert rows('loanapp', 'approve')[:2] == [(1,), (0,)]


def test_categories_by_hand(rows):
  assert rows('alcohol', 'health, region, quarter')[:5] == [
    ('excellent', 'northeast', 1),
    ('very good', 'midwest', 2),
    ('good', 'south', 3),
    ('fair', 'west', 4),
    ('poor', 'northeast', 1),
  ]
  wages = rows('wagepan', 'industry, occupation, region, long_hours')
  assert wages[:4] == [
    ('agric', 1, 'north central', 0),
    ('bus', 2, 'north east', 0),
    ('construc', 3, 'south', 0),
    ('ent', 4, 'west', 1),
  ]
  # No industry, no occupation of the first eight.
  assert wages[12][0] is None and wages[8][1] == 9


def test_what_comes_next_by_hand(rows):
  bought = rows(
    'cdnow', 'day::VARCHAR, cds, spent, soon, much', "WHERE customer = '00001'"
  )
  assert bought == [
    ('1997-01-01', 3, 41.0, 1, 0),
    ('1997-04-01', 1, 30.0, 0, 0),
    ('1997-07-01', 1, 30.01, 1, 1),
    ('1997-07-02', 1, 30.01, 0, 0),
    ('1998-03-31', 1, 14.0, 1, 1),
  ]
  # Without the last of each storm.
  storms = rows(
    'storms', 'storm, time::VARCHAR, stronger, hurricane', 'LIMIT 4'
  )
  assert storms == [
    ('Amy 1975', '1975-06-27 00:00:00', 1, 0),
    ('Amy 1975', '1975-06-27 06:00:00', 1, 1),
    ('Amy 1975', '1975-06-27 12:00:00', 0, 1),
    ('Bob 1977', '1977-07-01 00:00:00', 1, 0),
  ]
  # Day 93, the last row of each patient, is the first.
  assert rows('migraines', 'id, day::VARCHAR, headache')[:2] == [
    *[(0, '1990-04-04', 0), (1, '1990-04-04', 0)]
  ]
  assert rows('email', 'line_breaks, spam')[:2] == [(2027, 1), (2026, 0)]


def test_choices_by_hand(rows):
  assert rows('ketchup', '*')[:4] == [
    (0, 1, 'delmonte', 1.0, 0),
    (0, 1, 'heinz', 1.6, 1),
    (0, 1, 'hunts', 1.4, 0),
    (0, 1, 'stb', 0.8, 0),
  ]
  assert rows('yogurt', '*')[4:8] == [
    (1, 1, 'dannon', 9.0, 0, 1),
    (1, 1, 'hiland', 6.0, 0, 0),
    (1, 1, 'weight', 7.5, 1, 0),
    (1, 1, 'yoplait', 12.0, 1, 0),
  ]
  assert rows('tuna', 'brand, chosen')[:5] == [
    *[('coso', 0), ('cosw', 0), ('pw', 0), ('sko', 0), ('skw', 1)]
  ]
  assert rows('train', '* EXCLUDE (id, comfort)')[2:4] == [
    (1, 'first', 2400.0, 150.0, 0, 0),
    (1, 'second', 3201.0, 130.0, 1, 1),
  ]
  assert rows('car', 'household, price, station, type, chosen')[6:9] == [
    *[(1, 11, 11, 'van', 0), (1, 21, 21, 'van', 1), (1, 31, 31, 'van', 0)]
  ]
  assert rows('catsup', '* EXCLUDE display')[:4] == [
    *[(0, 1, 'heinz28', 5.2, 0, 1), (0, 1, 'heinz32', 3.0, 0, 0)],
    *[(0, 1, 'heinz41', 4.6, 0, 0), (0, 1, 'hunts32', 3.4, 0, 0)],
  ]
  assert rows('fishing', '*')[4:8] == [
    *[(1, 'beach', 15.1, 0.1, 1001.9, 0), (1, 'boat', 10.5, 0.3, 1001.9, 0)],
    *[(1, 'charter', 18.5, 0.5, 1001.9, 0), (1, 'pier', 15.5, 0.05, 1001.9, 1)],
  ]
  assert rows('electricity', 'occasion, alt, chosen')[4:8] == [
    *[(2, 1, 0), (2, 2, 1), (2, 3, 0), (2, 4, 0)]
  ]
  assert rows('modecanada', 'traveller, alt, cost, choice')[:4] == [
    *[(1, 'car', 29.25, 0), (1, 'train', 28.25, 1)],
    *[(2, 'car', 31.25, 1), (2, 'train', 30.25, 0)],
  ]


@pytest.mark.parametrize(
  ('module', 'log'), [('r_logs', 'cracker'), ('more_r_logs', 'labor')]
)
def test_the_command_writes_a_log_or_says_why_not(module, log, tmp_path):
  def run(source):
    return subprocess.run(
      [
        *(sys.executable, '-m', f'benchmarks.{module}', f'--log={log}'),
        *(f'--input={source}', f'--output={tmp_path}/out'),
      ],
      capture_output=True,
      text=True,
      cwd=_ROOT,
    )

  source = tmp_path / 'input.csv'
  missing = run(source)
  assert missing.returncode == 2
  assert missing.stderr.startswith(f'{module}: {source}: ')
  prices = ','.join(
    f'{column}.{brand}'
    for column in ('price', 'disp', 'feat')
    for brand in ('sunshine', 'kleebler', 'nabisco', 'private')
  )
  source.write_text(
    f'rownames,id,year,lnwg,kids,age,lnhr,disab,choice,{prices}\n'
    f'1,1,1979,1.9,2,27,7.5,0,nabisco,{",".join("1" * 12)}\n'
  )
  found = run(source)
  assert found.returncode == 0, found.stderr
  count = {'cracker': 4, 'labor': 1}[log]
  assert found.stdout == f'{tmp_path}/out/{log}.csv: {count} rows\n'
