// What is chosen, in one place and in the address, so that a view can be kept and shared.

const FIRST_TICKED = 3;
const state = {
  filter: '', experiment: '', sort: 'run', isDescending: true, metric: 'accuracy', isLog: false, open: '',
};
const slots = new Map(); // place of a ticked run -> number of its colour and mark
let shownRuns = [];

const table = createTable(byId('table'), { sortBy, tick, openRun });
const chart = createChart(byId('chart'), byId('legend'), openRun);
const details = createDetails(byId('details'), { step, closed: () => openRun(null) });

function tick(run, isTicked) {
  if (!isTicked) slots.delete(run.place);
  else if (!slots.has(run.place)) {
    const taken = new Set(slots.values());
    let free = 0;
    while (taken.has(free)) free += 1;
    slots.set(run.place, free);
  }
  renderCurves();
}

function sortBy(column) {
  // A figure is first wanted from its best end up or down: large accuracies, small losses.
  const first = column.id.endsWith('accuracy') || column.id === 'run';
  state.isDescending = state.sort === column.id ? !state.isDescending : first;
  state.sort = column.id;
  renderTable();
}

function openRun(run) {
  state.open = run?.place ?? '';
  if (run) details.open(run);
  keepState();
}

function step(count) {
  const position = shownRuns.findIndex((run) => run.place === state.open);
  const next = shownRuns[position + count];
  if (next) openRun(next);
}

function renderTable() {
  const column = allColumns.find((each) => each.id === state.sort) ?? FIRST_COLUMNS[1];
  const fits = readFilter(state.filter);
  const found = runs.filter((run) => (!state.experiment || run.experiment === state.experiment) && fits(run));
  shownRuns = sortRuns(found, column, state.isDescending);
  table.render(shownRuns, column.id, state.isDescending, slots);
  byId('count').textContent = found.length === runs.length ? plural(runs.length, 'run') : `${found.length} of ${plural(runs.length, 'run')}`;
  keepState();
}

function renderColumns() {
  const columns = listColumns(state.experiment ? [state.experiment] : experiments.keys());
  table.setColumns(state.experiment ? columns.filter((column) => column.id !== 'experiment') : columns);
  renderTable();
}

function renderCurves() {
  const ticked = [...slots.keys()].map((place) => runByPlace.get(place));
  const labels = labelRuns(ticked);
  chart.draw(ticked.map((run, i) => ({ run, slot: slots.get(run.place), label: labels[i] })), state.metric, state.isLog);
  table.markTicked(slots);
  byId('curves-hint').textContent = ticked.length ? 'dashed: training, solid: validation, dot: best epoch' : '';
  byId('untick').disabled = !ticked.length;
  keepState();
}

let isKept = true;
function keepState() {
  if (!isKept) return;
  isKept = false;
  // Browsers count how often the address is changed.
  setTimeout(() => {
    isKept = true;
    const kept = new URLSearchParams();
    if (state.filter) kept.set('filter', state.filter);
    if (state.experiment) kept.set('experiment', state.experiment);
    kept.set('sort', (state.isDescending ? '-' : '') + state.sort);
    kept.set('metric', state.metric);
    if (state.isLog) kept.set('scale', 'log');
    for (const place of slots.keys()) kept.append('tick', place);
    if (state.open) kept.set('run', state.open);
    history.replaceState(null, '', `#${kept}`);
  }, 150);
}

function readState() {
  const kept = new URLSearchParams(location.hash.slice(1));
  const sort = kept.get('sort') ?? '-run';
  state.filter = kept.get('filter') ?? '';
  state.experiment = experiments.has(kept.get('experiment')) ? kept.get('experiment') : '';
  state.isDescending = sort.startsWith('-');
  state.sort = sort.replace(/^-/, '');
  state.metric = kept.get('metric') === 'loss' ? 'loss' : 'accuracy';
  state.isLog = kept.get('scale') === 'log';
  slots.clear();
  const places = kept.has('sort') ? kept.getAll('tick') : listFirstTicked();
  for (const place of places) if (runByPlace.has(place)) slots.set(place, slots.size);
  byId('filter').value = state.filter;
  byId('experiment').value = state.experiment;
  byId('log').checked = state.isLog;
  document.querySelector(`input[name=metric][value=${state.metric}]`).checked = true;
  renderColumns();
  renderCurves();
  const open = runByPlace.get(kept.get('run'));
  if (open) openRun(open);
  else details.close();
}

// The newest of an experiment with several runs: there is something to compare at once.
function listFirstTicked() {
  const withCurves = runs.filter((run) => run.epochs);
  const siblings = (run) => withCurves.filter((other) => other.experiment === run.experiment);
  const newest = withCurves.find((run) => siblings(run).length > 1) ?? withCurves[0];
  return newest ? siblings(newest).slice(0, FIRST_TICKED).map((run) => run.place) : [];
}

function fillPage() {
  byId('heading').textContent = `Runs in ${content.folder}`;
  const unfinished = runs.filter((run) => !run.isFinished).length;
  byId('summary').textContent = [
    `${plural(runs.length, 'run')} of ${plural(experiments.size, 'experiment')}`,
    unfinished ? `${unfinished} not finished` : '',
    `as of ${content.made}`,
    content.pictures,
  ].filter(Boolean).join(' \u00b7 ');
  const counts = new Map();
  for (const run of runs) counts.set(run.experiment, (counts.get(run.experiment) ?? 0) + 1);
  byId('experiment').append(element('option', { value: '' }, 'all experiments'),
    ...[...experiments.keys()].map((name) => element('option', { value: name }, `${name} (${counts.get(name)})`)));
  const leftOut = byId('left-out');
  leftOut.hidden = !content.leftOut.length;
  leftOut.querySelector('summary').textContent = `Not listed: ${plural(content.leftOut.length, 'folder')}`;
  leftOut.querySelector('ul').append(...content.leftOut.map(([place, reason]) => element('li', {}, element('code', {}, place), ` ${reason}`)));
}

byId('filter').addEventListener('input', (event) => { state.filter = event.target.value; renderTable(); });
byId('experiment').addEventListener('change', (event) => { state.experiment = event.target.value; renderColumns(); });
byId('log').addEventListener('change', (event) => { state.isLog = event.target.checked; renderCurves(); });
for (const choice of document.querySelectorAll('input[name=metric]')) {
  choice.addEventListener('change', () => { state.metric = choice.value; renderCurves(); });
}
byId('untick').addEventListener('click', () => { slots.clear(); renderCurves(); });
byId('tick-shown').addEventListener('click', () => {
  for (const run of shownRuns) if (!slots.has(run.place)) slots.set(run.place, Math.max(-1, ...slots.values()) + 1);
  renderCurves();
});
addEventListener('hashchange', readState);

fillPage();
readState();
