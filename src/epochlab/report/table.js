// The table of runs: its columns follow the experiment chosen, its order the header clicked.

// More than fit on a screen, so that what a person sees does not wait for the rest.
const ROWS_AT_ONCE = 60;
const ROWS_LATER = 150;

function compareValues(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === typeof b) return String(a).localeCompare(String(b), 'en', { numeric: true });
  return typeof a === 'number' ? -1 : 1;
}

// What is missing comes last, whichever way the rest is sorted.
function sortRuns(shown, column, isDescending) {
  const read = column.order ?? column.value;
  const isMissing = (value) => value === null || value === undefined;
  return [...shown].sort((first, second) => {
    const [a, b] = [read(first), read(second)];
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b) || first.position - second.position;
    return (isDescending ? -1 : 1) * compareValues(a, b) || first.position - second.position;
  });
}

function holdsNumbers(column) {
  const values = runs.map((run) => column.value(run)).filter((value) => value !== undefined && value !== null);
  return values.length > 0 && values.every((value) => typeof value === 'number');
}

function createTable(table, { sortBy, tick, openRun }) {
  const [head, body] = [table.tHead, table.tBodies[0]];
  let columns = [];
  let rows = new Map();
  let pending = 0;

  function setColumns(newColumns) {
    columns = newColumns.map((column) => ({ ...column, isNumber: column.isNumber ?? holdsNumbers(column) }));
    rows = new Map();
    head.replaceChildren(element('tr', {},
      element('th', { class: 'tick', scope: 'col' }, element('span', { class: 'unseen' }, 'ticked')),
      ...columns.map((column) => element('th', { scope: 'col', class: column.isNumber ? 'number' : '', title: column.id },
        element('button', { type: 'button', click: () => sortBy(column) }, column.label)))));
  }

  function makeRow(run) {
    const box = element('input', {
      type: 'checkbox', 'aria-label': `curves of ${run.place}`, change: (event) => tick(run, event.target.checked),
    });
    return element('tr', { 'data-place': run.place },
      element('td', { class: 'tick' }, box),
      ...columns.map((column) => makeCell(run, column)));
  }

  function makeCell(run, column) {
    if (column.id === 'run') {
      return element('td', {}, element('button', { type: 'button', class: 'open', click: () => openRun(run) }, run.name));
    }
    if (column.id === 'state') {
      const kind = run.isFinished ? 'finished' : 'unfinished';
      const more = run.notes.length ? ' !' : '';
      return element('td', { class: `state ${kind}`, title: [run.state, ...run.notes].join('\n') }, stateWord(run) + more);
    }
    const value = column.value(run);
    if (column.isSetting) {
      const kinds = [column.isNumber ? 'number' : '', run.unusual.has(column.id) ? 'unusual' : ''];
      return element('td', { class: kinds.join(' ') }, show(value));
    }
    const text = column.isRound && typeof value === 'number' ? value.toFixed(0) : showFigure(value);
    return element('td', { class: column.isNumber ? 'number' : '' }, text);
  }

  function render(shown, sorted, isDescending, slots) {
    for (const [i, cell] of [...head.rows[0].cells].slice(1).entries()) {
      if (columns[i].id === sorted) cell.setAttribute('aria-sort', isDescending ? 'descending' : 'ascending');
      else cell.removeAttribute('aria-sort');
    }
    clearTimeout(pending);
    body.replaceChildren(...takeRows(shown.slice(0, ROWS_AT_ONCE), slots));
    const append = (begin) => {
      if (begin >= shown.length) return;
      body.append(...takeRows(shown.slice(begin, begin + ROWS_LATER), slots));
      pending = setTimeout(append, 0, begin + ROWS_LATER);
    };
    pending = setTimeout(append, 0, ROWS_AT_ONCE);
  }

  function takeRows(shown, slots) {
    return shown.map((run) => {
      if (!rows.has(run)) rows.set(run, makeRow(run));
      markRow(run, rows.get(run), slots);
      return rows.get(run);
    });
  }

  function markRow(run, row, slots) {
    const slot = slots.get(run.place);
    const box = row.cells[0].firstChild;
    box.checked = slot !== undefined;
    box.style.accentColor = slot === undefined ? '' : colorOf(slot);
  }

  function markTicked(slots) {
    for (const [run, row] of rows) markRow(run, row, slots);
  }

  return { setColumns, render, markTicked };
}
