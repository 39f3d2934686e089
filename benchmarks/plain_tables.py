r"""Tables of R packages as a newcomer brings them: no schema by hand.

    python -m benchmarks.plain_tables --log=baseball --input=baseball.csv \
      --output=data/raw/baseball
    rmtl init data/raw/baseball/baseball.csv --output=schema.json
    rmtl prepare --source=table --raw_dir=data/raw/baseball/baseball.csv \
      --schema=schema.json --any_dates --data_dir=data/baseball

The inputs are CSV files of Rdatasets, with the data set's name where a log's
does not say it. Columns keep their names and values; a label is a column of
0 and 1 behind the others where the table has none, and what tells it is left
out. `rmtl init` finds everything else. Where no name tells the label, --label
does: union of nlswork, cat of pets, sex of rats, votetrump of tv16, good of
egsingle, immun of immun, eliminated of dragrace, Status of credit, dead of
nass, death of flchain, abany, abpoor and abrape of gss. In the second batch: ui
of benefits, lbw of bwght2, use of contraception, inlf of cps91, unsafe of
escorts, usemeth of fertil2, hhi of hi, deny of hmda, insurance of insurance,
e401k of k401ksubs, death of nhefs and rotterdam, hi of nhis, rel of nwtco,
hospital of pneumon, prenat of prenat, smoke of smoking, Remote of
stackoverflow, censor1 of unempdur, vote of vote84 and voteincome.

- hotel (modeldata's hotel_rates): a night costs 100 euros or more.
- birds (openintro): a plane that struck birds had to land, or the like.
- covid (medicaldata's covid_testing): a test was positive.
- taxi (modeldata): a ride in Chicago with a tip.
- churn, wachurn (modeldata's mlc_churn and wa_churn): a customer left.
- credit (modeldata's credit_data), loans (openintro's loans_full_schema): a
  debtor is bad; a loan costs 15 % or more.
- caravan (ISLR's Caravan): a household insured its caravan.
- student (mediation), egsingle (mlmRev): a pupil fights, or is good at maths.
- nlswork (sampleSelection): a young woman is in a union, by year.
- vietnam (Ecdat's VietNamI): a person was ill.
- gss (stevedata's gss_abortion): three opinions, if asked.
- tv16 (stevedata's TV16): a voter of 2016.
- baseball (plyr): a player who plays in the next year too.
- bundesliga (vcd's Bundesliga): the home team wins.
- nass (DAAG's nassCDS): somebody died in a car's accident.
- charity (wooldridge): a letter was answered by a gift.
- pets (openintro's seattlepets): a cat, by its name and where it lives.
- dragrace (dragracer's rpdr_contep): a contestant is eliminated.
- rats (ratdat's complete): the sex of a rodent.
- flchain (survival), immun (mlmRev's guImmun): a person died; a child was
  immunised.
- movies (ggplot2movies): rated with 7 or more.
- polls (dslabs' polls_us_election_2016): one candidate is ahead.
- arrests (carData's Arrests): released with a summons.
- deliveries, hpc, cells (modeldata's deliveries, hpc_data and cells): slower
  than the median, slow, well segmented.
- tweets (dslabs' trump_tweets): sent from a kind of phone.

The second batch was made to judge how `rmtl init` reads few whole numbers:

- doctorvisits, hmda, insurance, gss7402 (AER's DoctorVisits, HMDA,
  HealthInsurance and GSS7402): at a doctor's, denied a mortgage, insured, three
  children or more.
- monica (DAAG): a patient died. benefits, hi, tobacco, unempdur (Ecdat's
  Benefits, HI, Tobacco and UnempDur): benefits are paid, a husband is insured,
  a household smokes, a spell without work ends in a job.
- pneumon (KMsurv): an infant in hospital. youthrisk, kershaw (Stat2Data's
  YouthRisk and Kershaw): rode with a driver who drank; a pitch was swung at.
- beps, gssvocab (carData's BEPS and GSSvocab): votes Labour; knows seven words.
- nhefs, escorts (causaldata's nhefs and adult_services): died; unsafe.
- yrbss, smoking (openintro): writes at the wheel; smokes.
- soup (ordinal), bfi (psych): sure of the taste; a woman, by 25 answers.
- partytherms, vote84, nhis, voteincome, wvs (stevedata's anes_partytherms,
  anes_vote84, mm_nhis, voteincome and wvs_usa_abortion): warm towards a party,
  voted, insured, voted, finds abortion justified.
- nwtco, rotterdam, pbcseq (survival): relapsed, died, died.
- fertil2, crime1, k401ksubs, cps91, bwght2 (wooldridge): uses contraception,
  arrested, may save for the pension, works, a light baby.
- stackoverflow (modeldata): works at home. prenat, contraception (mlmRev's
  guPrenat and Contraception): modern care; uses it. saratoga (mosaicData's
  SaratogaHouses): a house costs more than 200,000.

The third batch was made to see what defaults do on tables that nothing was
chosen on. --label names the label of each:

- smokeban (smoker), fertility2 (morekids; AER's SmokeBan, Fertility2), azpro
  (admit), rwm1984 (visited; COUNT), dengue (NoYes), spam7 (yesno; DAAG).
- headinjury (DAAG's headInjury; clinically.important.brain.injury), computers
  (premium), males (union), vietnamh (farm), contacts (went; Ecdat's Computers,
  Males, VietNamH and DoctorContacts: a visit to a doctor).
- gedwages (HLMdiag's wages; ged), islrwage (ISLR's Wage; health_ins), aids2
  (MASS' Aids2; status), nlschools (MASS; COMB), gunnels (Gunnel), mathplacement
  (CourseSuccess), suicide (Died; Stat2Data's Gunnels, MathPlacement and
  SuicideChina), prostate (asaur's prostateSurvival; died).
- ces11 (abortion), chile (yes), wells (switch; carData's CES11, Chile and
  Wells), politicians (responded), hiv (got), lmb (democrat; causaldata's
  black_politicians, thornton_hiv and close_elections_lmb).
- rain (crch's RainIbk; rained), attrition (Attrition), checktimes (status;
  modeldata's attrition and check_times), acs12 (disability), policeforce
  (subject_injury), nycflights (late; openintro's acs12,
  mn_police_use_of_force and nycflights), colon, nafld1 (survival; status), gpa2
  (wooldridge; athlete), dee04 (stevedata's Dee04; register), movielens (dslabs;
  liked), ebmt3 (mstate; prstat).
"""

from __future__ import annotations

from benchmarks import raw_logs


def _table(*left_out: str, where: str = '', **label: str) -> raw_logs.Log:
  """All columns but some, and a label behind them.

  Args:
    *left_out: columns that tell the label.
    where: SQL of the rows; empty: all.
    **label: SQL of the label, by its name.
  """
  hidden = ', '.join(f'"{name}"' for name in ('rownames', *left_out))
  made = ''.join(
    f', ({value})::INTEGER AS "{name}"' for name, value in label.items()
  )
  rows = f'SELECT * EXCLUDE ({hidden}){made} FROM input'
  return raw_logs.Log(f'{rows} WHERE {where}' if where else rows, {})


_RATINGS = [f'r{i}' for i in range(1, 11)]
_POLLS = [
  f'{kind}poll_{who}'
  for kind in ('raw', 'adj')
  for who in ('clinton', 'trump', 'johnson', 'mcmullin')
]

LOGS = {
  'arrests': _table(),
  'baseball': _table(
    where='year::INTEGER < (SELECT max(year::INTEGER) FROM input)',
    returns='(id, year::INTEGER + 1) IN (SELECT (id, year::INTEGER) FROM'
    ' input)',
  ),
  'birds': _table('effect', 'remarks', had_effect='effect IS NOT NULL'),
  'bundesliga': _table(
    *('HomeGoals', 'AwayGoals'),
    home_win='HomeGoals::INTEGER > AwayGoals::INTEGER',
  ),
  'caravan': _table(),
  'cells': _table(),
  'charity': _table('gift'),
  'churn': _table(),
  'covid': _table('result', 'ct_result', positive="result = 'positive'"),
  'credit': _table(),
  'deliveries': _table(
    'time_to_delivery',
    slow='time_to_delivery::DOUBLE >= (SELECT median(time_to_delivery::DOUBLE)'
    ' FROM input)',
  ),
  'dragrace': _table(
    *('outcome', 'rank', 'missc', 'participant'), where='eliminated IS NOT NULL'
  ),
  'egsingle': _table('math', good='math::DOUBLE >= 0'),
  'flchain': _table('futime', 'chapter'),
  'gss': _table(),
  'hotel': _table(
    'avg_price_per_room', expensive='avg_price_per_room::DOUBLE >= 100'
  ),
  'hpc': _table('class', slow="class IN ('M', 'L')"),
  'immun': _table(),
  'loans': _table(
    *('interest_rate', 'grade', 'sub_grade', 'installment', 'balance'),
    *('paid_total', 'paid_principal', 'paid_interest', 'paid_late_fees'),
    costly='interest_rate::DOUBLE >= 15',
  ),
  'movies': _table('rating', *_RATINGS, good='rating::DOUBLE >= 7'),
  'nass': _table('injSeverity'),
  'nlswork': _table(),
  'pets': _table(
    *('species', 'primary_breed', 'secondary_breed'), cat="species = 'Cat'"
  ),
  'polls': _table(
    *_POLLS, clinton_ahead='rawpoll_clinton::DOUBLE > rawpoll_trump::DOUBLE'
  ),
  'rats': _table(),
  'student': _table(),
  'taxi': _table(),
  'tv16': _table(),
  'tweets': _table(
    *('source', 'text'), android="source = 'Twitter for Android'"
  ),
  'vietnam': _table(
    *('illness', 'illdays', 'actdays', 'pharvis', 'injury'),
    ill='illness::INTEGER > 0',
  ),
  'wachurn': _table(),
  # The second batch.
  'benefits': _table(),
  'beps': _table('vote', labour="vote = 'Labour'"),
  'bfi': _table('gender', female='gender::INTEGER = 2'),
  'bwght2': _table('bwght', 'vlbw', 'lbwght'),
  'contraception': _table(),
  'cps91': _table('earns', 'hours', 'hrwage', 'lwage', 'union', 'nwifeinc'),
  'crime1': _table(
    *('narr86', 'nfarr86', 'nparr86'), arrested='narr86::INTEGER > 0'
  ),
  'doctorvisits': _table('visits', visited='visits::INTEGER > 0'),
  'escorts': _table(),
  'fertil2': _table('knowmeth', where='usemeth IS NOT NULL'),
  'gss7402': _table('kids', kids3='kids::INTEGER > 2'),
  'gssvocab': _table(
    'vocab', where='vocab IS NOT NULL', knows='vocab::INTEGER >= 7'
  ),
  'hi': _table('hhi2'),
  'hmda': _table(),
  'insurance': _table(),
  'k401ksubs': _table('p401k', 'incsq', 'agesq'),
  'kershaw': _table(
    *('Outcome', 'Class', 'Result', 'Swing', 'Time', 'ABEvent'),
    swung="Swing = 'Yes'",
  ),
  'monica': _table('outcome', died="outcome = 'dead'"),
  'nhefs': _table('yrdth', 'modth', 'dadth', 'censored', 'id'),
  'nhis': _table(),
  'nwtco': _table('edrel'),
  'partytherms': _table(
    *('therm_dem', 'therm_gop', 'therm_bmp', 'mpti'),
    where='therm_dem IS NOT NULL',
    warm='therm_dem::INTEGER >= 60',
  ),
  'pbcseq': _table('status', 'futime', died='status::INTEGER = 2'),
  'pneumon': _table('agepn'),
  'prenat': _table(),
  'rotterdam': _table('dtime', 'rtime', 'recur'),
  'saratoga': _table('price', dear='price::INTEGER > 200000'),
  'smoking': _table('amt_weekends', 'amt_weekdays', 'type'),
  'soup': _table('SURENESS', sure='SURENESS::INTEGER >= 5'),
  'stackoverflow': _table(),
  'tobacco': _table('stobacco', smokes='stobacco::DOUBLE > 0'),
  'unempdur': _table('censor2', 'censor3', 'censor4'),
  'vote84': _table(where='vote IS NOT NULL'),
  'voteincome': _table(),
  'wvs': _table('aj', where='aj IS NOT NULL', justified='aj::INTEGER >= 5'),
  'youthrisk': _table('ride.alc.driver', rode='"ride.alc.driver"::INTEGER = 1'),
  'yrbss': _table(
    'text_while_driving_30d',
    where='text_while_driving_30d IS NOT NULL',
    texted="text_while_driving_30d NOT IN ('0', 'did not drive')",
  ),
  # The third batch.
  'acs12': _table(),
  'aids2': _table('death'),
  'attrition': _table(),
  'azpro': _table(),
  'ces11': _table(),
  'checktimes': _table(),
  'chile': _table('vote', yes="coalesce(vote, '') = 'Y'"),
  'colon': _table('time'),
  'computers': _table(),
  'contacts': _table('mdu', went='mdu::INTEGER > 0'),
  'dee04': _table(),
  'dengue': _table(),
  'ebmt3': _table('prtime', 'rfstime', 'rfsstat'),
  'fertility2': _table(),
  'gedwages': _table(),
  'gpa2': _table(),
  'gunnels': _table(),
  'headinjury': _table(),
  'hiv': _table(where='got IS NOT NULL'),
  'islrwage': _table(),
  'lmb': _table('demvoteshare', 'score', where='democrat IS NOT NULL'),
  'males': _table(),
  'mathplacement': _table('Grade', where='CourseSuccess IS NOT NULL'),
  'movielens': _table('rating', liked='rating::DOUBLE >= 4'),
  'nafld1': _table('futime'),
  'nlschools': _table(),
  'nycflights': _table(
    *('arr_delay', 'arr_time', 'dep_delay', 'air_time'),
    late='arr_delay::INTEGER > 15',
  ),
  'policeforce': _table(where='subject_injury IS NOT NULL'),
  'politicians': _table(),
  'prostate': _table('status', 'survTime', died='status::INTEGER = 1'),
  'rain': _table('rain', rained='rain::DOUBLE > 0'),
  'rwm1984': _table('docvis', 'hospvis', visited='docvis::INTEGER > 0'),
  'smokeban': _table(),
  'spam7': _table(),
  'suicide': _table(),
  'vietnamh': _table(),
  'wells': _table(),
}

if __name__ == '__main__':
  raw_logs.run(LOGS)
