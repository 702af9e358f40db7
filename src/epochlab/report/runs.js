// The runs with all their settings, what the columns are, and which runs a filter means.

const content = JSON.parse(byId('runs').textContent);
const experiments = new Map(Object.entries(content.experiments));
const incidental = new Set(content.incidental);

// What the runs have in common is written once.
function complete(common, { own, lacks }) {
  const values = new Map(Object.entries(common));
  for (const key of lacks) values.delete(key);
  for (const [key, value] of Object.entries(own)) values.set(key, value);
  return values;
}

// What fewer than half of an experiment's runs have otherwise than the rest.
const countOwn = new Map();
for (const { experiment, config, environment } of content.runs) {
  for (const key of ['', ...Object.keys(config.own).map((each) => `config ${each}`),
    ...Object.keys(environment.own).map((each) => `environment ${each}`)]) {
    const name = JSON.stringify([experiment, key]);
    countOwn.set(name, (countOwn.get(name) ?? 0) + 1);
  }
}

function listUnusual(run, part) {
  const count = (key) => countOwn.get(JSON.stringify([run.experiment, key]));
  return new Set(Object.keys(run[part].own).filter((key) => 2 * count(`${part} ${key}`) < count('')));
}

const runs = content.runs.map((run, position) => {
  const experiment = experiments.get(run.experiment);
  return {
    ...run,
    position,
    config: complete(experiment.config, run.config),
    environment: complete(experiment.environment, run.environment),
    unusual: listUnusual(run, 'config'),
    unusualEnvironment: listUnusual(run, 'environment'),
    epochs: run.history.loss.length,
  };
});
const runByPlace = new Map(runs.map((run) => [run.place, run]));

const stateWord = (run) => run.state.split(':')[0];
const figure = (name) => (run) => run.figures[name] ?? null;

const FIRST_COLUMNS = [
  { id: 'experiment', label: 'experiment', value: (run) => run.experiment },
  { id: 'run', label: 'run', value: (run) => run.name, order: (run) => -run.position },
  { id: 'state', label: 'state', value: stateWord },
  { id: 'seed', label: 'seed', value: (run) => run.seed, isNumber: true },
];
const FIGURE_COLUMNS = [
  { id: 'test_accuracy', label: 'test accuracy', value: figure('test.accuracy') },
  { id: 'val_accuracy', label: 'val accuracy', value: figure('val_accuracy') },
  { id: 'test_loss', label: 'test loss', value: figure('test.loss') },
  { id: 'val_loss', label: 'val loss', value: figure('val_loss') },
  { id: 'best_epoch', label: 'best epoch', value: figure('best_epoch') },
  { id: 'epochs', label: 'epochs done', value: (run) => run.epochs },
  { id: 'seconds', label: 'seconds', value: figure('train_seconds'), isRound: true },
].map((column) => ({ ...column, isNumber: true }));

// Columns for the settings that differ between the runs of one of these experiments.
function listColumns(names) {
  const labels = new Map();
  for (const name of names) {
    for (const [key, label] of experiments.get(name).columns) {
      if (!labels.has(key)) labels.set(key, label);
    }
  }
  const settings = [...labels].map(([key, label]) => ({
    id: key,
    label,
    isSetting: true,
    value: (run) => (key === 'data' ? run.data.sha256?.slice(0, 8) : run.config.get(key)),
  }));
  return [...FIRST_COLUMNS, ...settings, ...FIGURE_COLUMNS];
}

const allColumns = listColumns(experiments.keys());

// What a person calls a column: its name, or the end of a dotted key.
function readNamed(run, name) {
  // `epochs` means those done, whether or not a setting of that name has a column, too.
  const own = [...FIRST_COLUMNS, ...FIGURE_COLUMNS].find((each) => each.id === name);
  if (own) return own.value(run);
  for (const column of allColumns) {
    const value = column.id === name || column.label === name ? column.value(run) : undefined;
    if (value !== undefined) return value;
  }
  // Another experiment may have it under a key without a column.
  for (const [key, value] of run.config) {
    if (key === name || key.endsWith(`.${name}`)) return value;
  }
  return undefined;
}

const COMPARISONS = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
};

// `lenet seed=1 learning_rate<=0.001`: a run has to fit each word.
function readFilter(text) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const parts = word.match(/^([\w.]+)(!=|>=|<=|=|>|<)(.*)$/);
    if (!parts) return (run) => haystack(run).includes(word);
    const [, name, sign, wanted] = parts;
    if (wanted === '') return () => true; // still being typed
    const isNumber = !Number.isNaN(Number(wanted));
    return (run) => {
      const value = readNamed(run, name);
      if (value === undefined) return false;
      if (isNumber && typeof value === 'number') return COMPARISONS[sign](value, Number(wanted));
      if (sign === '>' || sign === '<' || sign === '>=' || sign === '<=') return false;
      return COMPARISONS[sign](String(value).toLowerCase(), wanted);
    };
  });
  return (run) => tests.every((test) => test(run));
}

function haystack(run) {
  run.words ??= [run.place, run.experiment, run.state, ...allColumns
    .filter((column) => column.isSetting)
    .map((column) => `${column.label}=${show(column.value(run))}`)].join(' ').toLowerCase();
  return run.words;
}

// What sets the ticked runs off from each other; where that is nothing, seed and name do.
function labelRuns(ticked) {
  const names = new Set(ticked.map((run) => run.experiment));
  const labels = ticked.map((run) => {
    const same = ticked.filter((other) => other.experiment === run.experiment);
    const words = listColumns([run.experiment])
      .filter((column) => column.isSetting)
      .filter((column) => same.some((other) => column.value(other) !== column.value(run)))
      .map((column) => `${column.label}=${show(column.value(run))}`);
    return [...(names.size > 1 || !words.length ? [run.experiment] : []), ...words].join(', ');
  });
  const isRepeated = (texts, text) => texts.filter((other) => other === text).length > 1;
  const seeded = labels.map((label, i) => (
    isRepeated(labels, label) ? `${label}, seed ${show(ticked[i].seed)}` : label));
  return seeded.map((label, i) => (
    isRepeated(seeded, label) ? `${label}, ${ticked[i].name}` : label));
}
