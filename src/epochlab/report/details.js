// All about one run.

function pairs(values, unusual, isOpen, heading, hint) {
  const rows = [...values].map(([key, value]) => element('tr', { class: unusual.has(key) ? 'unusual' : '' },
    element('th', { scope: 'row' }, key), element('td', {}, show(value))));
  return section(heading, isOpen, hint ? element('p', { class: 'hint' }, hint) : '', element('table', { class: 'pairs' }, element('tbody', {}, ...rows)));
}

function section(heading, isOpen, ...children) {
  return element('details', { open: isOpen }, element('summary', {}, heading), ...children);
}

function describeClasses({ splits, rows }) {
  if (!rows.length) return '';
  const heads = ['class', ...splits.map((split) => `${split} images`), 'test accuracy'];
  return section(`Classes (${rows.length})`, rows.length <= 10, element('div', { class: 'scroll-across' }, element('table', { class: 'classes' },
    element('thead', {}, element('tr', {}, ...heads.map((head, i) => element('th', { scope: 'col', class: i ? 'number' : '' }, head)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((cell, i) => (
      element('td', { class: i ? 'number' : '' }, i ? showFigure(cell) : show(cell))))))))));
}

function describeSessions(sessions) {
  if (sessions.length < 2) return '';
  return section(`Sessions (${sessions.length})`, false, element('ol', {}, ...sessions.map(([started, from, ended, changes]) => (
    element('li', {}, `${show(started)}, from ${show(from)}: ${ended ?? 'no end recorded'}${changes && changes !== '[]' ? `; changed: ${changes}` : ''}`)))));
}

function describeSkipped({ count, first }) {
  if (!count) return '';
  const more = count > first.length ? [element('li', {}, `and ${count - first.length} more, in data.json`)] : [];
  return section(`Files left out (${count})`, false,
    element('ul', {}, ...first.map(([file, reason]) => element('li', {}, `${file}: ${reason}`)), ...more));
}

// The pictures stand behind the program: a page that is still loading has not got to all of them.
function readEmbedded(run) {
  return new Promise((resolve) => {
    const block = (position) => JSON.parse(byId(`pictures-${position}`)?.textContent ?? '[]');
    // A picture that is equal to one of an earlier run stands there.
    const read = () => resolve(block(run.position).map((each) => (
      typeof each === 'string' ? each : block(each[0])[each[1]])));
    if (byId(`pictures-${run.position + 1}`) || document.readyState !== 'loading') read();
    else document.addEventListener('DOMContentLoaded', read, { once: true });
  });
}

function showPictures(run) {
  const holder = element('div', { class: 'pictures' });
  const place = (embedded) => {
    holder.replaceChildren(...run.pictures.map((picture, i) => {
      const source = picture.link ?? (embedded[i] ? `data:image/png;base64,${embedded[i]}` : null);
      const caption = element('figcaption', {}, picture.name);
      const fail = () => figure.replaceChildren(caption, element('p', { class: 'hint' }, 'cannot be shown: missing, damaged, or no PNG file'));
      const figure = element('figure', {});
      if (source === null) fail();
      else {
        const enlarge = () => figure.classList.toggle('is-wide');
        figure.append(caption, element('button', { type: 'button', click: enlarge },
          element('img', { alt: `${picture.alt}; ${run.place}`, error: fail, src: source })));
      }
      return figure;
    }));
  };
  if (run.pictures.some((picture) => picture.link === null)) readEmbedded(run).then(place);
  else place([]);
  return holder;
}

function describeRun(run) {
  const { figures, classes, notes } = run;
  const facts = [
    ['test accuracy', showFigure(figures['test.accuracy'])],
    ['test loss', showFigure(figures['test.loss'])],
    ['val accuracy', showFigure(figures.val_accuracy)],
    ['val loss', showFigure(figures.val_loss)],
    ['epochs', `${run.epochs}${figures.best_epoch ? `, best ${figures.best_epoch}` : ''}${run.overfitting ? `, overfitting from ${run.overfitting}` : ''}`],
    ['seed', show(run.seed)],
  ];
  return [
    element('p', { class: `state ${run.isFinished ? 'finished' : 'unfinished'}` }, [run.state, run.started ? `started ${run.started} UTC` : '', run.place].filter(Boolean).join(' \u00b7 ')),
    ...notes.map((note) => element('p', { class: 'warning' }, note)),
    element('dl', { class: 'facts' }, ...facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)))),
    run.pictures.length ? showPictures(run) : element('p', { class: 'hint' }, 'No pictures.'),
    pairs(run.config, run.unusual, true, 'Config', run.unusual.size ? 'Marked: not as in most runs of this experiment.' : ''),
    describeClasses(classes),
    pairs(Object.entries(run.data), new Set(), false, 'Data', ''),
    describeSkipped(run.skipped),
    pairs(Object.entries(run.metrics), new Set(), false, 'Result', ''),
    pairs(run.environment, run.unusualEnvironment, false, 'Environment', run.unusualEnvironment.size ? 'Marked: not as in most runs of this experiment.' : ''),
    describeSessions(run.sessions),
  ];
}

function createDetails(dialog, { step, closed }) {
  const body = byId('details-body');
  byId('close').addEventListener('click', () => dialog.close());
  byId('previous').addEventListener('click', () => step(-1));
  byId('next').addEventListener('click', () => step(1));
  // A click beside the panel falls on the dialog itself.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', closed);
  return {
    open(run) {
      byId('details-heading').replaceChildren(element('span', {}, run.experiment), ' ', element('span', {}, run.name));
      body.replaceChildren(...describeRun(run));
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
    },
    close: () => dialog.open && dialog.close(),
  };
}
