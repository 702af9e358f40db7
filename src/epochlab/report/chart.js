// The curves of the ticked runs: training dashed, validation solid.

// Okabe and Ito, "Color Universal Design" (2008), as in the pictures of `epochlab compare`.
const COLORS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#7F3C8D'];
// When the colours begin again, the lines get another mark.
const MARKS = [null, 'M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z', 'M-3.5-3.5h7v7h-7Z',
  'M0-4.5L4.5 3.5H-4.5Z', 'M0-5L5 0L0 5L-5 0Z', 'M0 4.5L4.5-3.5H-4.5Z',
  'M-4-1.5h2.5V-4h3v2.5H4v3H1.5V4h-3V1.5H-4Z'];
const MARKS_PER_LINE = 8;
const MARGIN = { left: 52, right: 12, top: 10, bottom: 36 };
const MOST_IN_TOOLTIP = 12;

const colorOf = (slot) => COLORS[slot % COLORS.length];
const markOf = (slot) => MARKS[Math.floor(slot / COLORS.length) % MARKS.length];

function createChart(host, legend, openRun) {
  let lines = [];
  let metric = 'accuracy';
  let isLog = false;
  let geometry = null;
  let pointed = null;

  const isShown = (value) => typeof value === 'number' && (!isLog || value > 0);

  function draw(newLines, newMetric, newIsLog) {
    [lines, metric, isLog, pointed] = [newLines, newMetric, newIsLog, null];
    redraw();
    drawLegend();
  }

  function redraw() {
    const width = Math.max(280, host.clientWidth);
    const height = width < 500 ? 260 : 340;
    const values = lines.flatMap(({ run }) => [
      ...run.history[metric], ...run.history[`val_${metric}`]]).filter(isShown);
    if (!values.length) {
      geometry = null;
      const text = lines.length ? 'These runs have no whole epoch yet.' : 'Tick runs in the table below to see their curves.';
      host.replaceChildren(element('p', { class: 'empty' }, text));
      return;
    }
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const epochs = Math.max(...lines.map(({ run }) => run.epochs));
    const scale = makeScale(values, isLog, inner.height);
    const x = (epoch) => MARGIN.left + (epochs === 1 ? inner.width / 2 : inner.width * (epoch - 1) / (epochs - 1));
    const y = (value) => MARGIN.top + scale.at(value);
    geometry = { width, height, inner, epochs, x, y };
    const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': `${metric} by epoch of ${plural(lines.length, 'run')}` });
    svg.append(drawAxes(scale.ticks));
    for (const line of lines) svg.append(drawLine(line));
    geometry.rule = shape('line', { class: 'rule', y1: MARGIN.top, y2: MARGIN.top + inner.height, visibility: 'hidden' });
    geometry.tooltip = element('div', { class: 'tooltip', hidden: true });
    svg.append(geometry.rule);
    host.replaceChildren(svg, geometry.tooltip);
  }

  function drawAxes(ticks) {
    const { width, height, inner, epochs, x, y } = geometry;
    const axes = shape('g', { class: 'axes' });
    for (const tick of ticks) {
      axes.append(
        shape('line', { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
        shape('text', { x: MARGIN.left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, String(tick)));
    }
    const numbers = listTicks(1, epochs, Math.max(2, Math.floor(inner.width / 70)))
      .filter((tick) => Number.isInteger(tick) && tick >= 1);
    for (const tick of new Set([1, ...numbers])) {
      axes.append(shape('text', { x: x(tick), y: MARGIN.top + inner.height + 16, 'text-anchor': 'middle' }, String(tick)));
    }
    axes.append(shape('text', { x: MARGIN.left + inner.width / 2, y: height - 3, 'text-anchor': 'middle' }, 'epoch'));
    return axes;
  }

  function drawLine({ run, slot }) {
    const group = shape('g', { class: 'line', 'data-position': run.position, color: colorOf(slot) });
    const validation = run.history[`val_${metric}`];
    const main = validation.some(isShown) ? validation : run.history[metric];
    for (const [values, kind] of [[run.history[metric], 'training'], [validation, 'validation']]) {
      let path = '';
      let isOpen = false;
      values.forEach((value, i) => {
        if (isShown(value)) path += `${isOpen ? 'L' : 'M'}${geometry.x(i + 1).toFixed(1)} ${geometry.y(value).toFixed(1)}`;
        isOpen = isShown(value);
      });
      group.append(shape('path', { class: kind, d: path }));
    }
    const mark = markOf(slot) ?? (run.epochs === 1 ? MARKS[1] : null);
    const every = Math.max(1, Math.floor(main.length / MARKS_PER_LINE));
    main.forEach((value, i) => {
      const isBest = run.figures.best_epoch === i + 1 && main === validation;
      if (!isShown(value) || !(isBest || (mark && i % every === 0))) return;
      const where = `translate(${geometry.x(i + 1)} ${geometry.y(value)})`;
      group.append(shape('path', { class: isBest ? 'best' : 'mark', d: isBest ? MARKS[1] : mark, transform: where }));
    });
    return group;
  }

  function drawLegend() {
    legend.replaceChildren(...lines.map(({ run, slot, label }) => {
      const sample = shape('svg', { width: 30, height: 12, color: colorOf(slot), 'aria-hidden': 'true' },
        shape('path', { class: run.history.val_loss.some(isShown) ? 'validation' : 'training', d: 'M1 6H29' }));
      if (markOf(slot)) sample.append(shape('path', { class: 'mark', d: markOf(slot), transform: 'translate(15 6)' }));
      const highlight = (isOn) => () => setHighlight(isOn ? run : null);
      return element('li', {}, element('button', {
        type: 'button', click: () => openRun(run), title: run.place,
        pointerenter: highlight(true), pointerleave: highlight(false), focus: highlight(true), blur: highlight(false),
      }, sample, element('span', {}, label)));
    }));
  }

  function setHighlight(run) {
    host.classList.toggle('has-highlight', run !== null);
    for (const group of host.querySelectorAll('.line')) {
      group.classList.toggle('is-highlighted', Number(group.dataset.position) === run?.position);
    }
  }

  // The runs whose curves pass nearest to the pointer, in the order of their values.
  function point(epoch, height) {
    if (!geometry) return;
    const { x, y, width, rule, tooltip } = geometry;
    pointed = Math.min(geometry.epochs, Math.max(1, epoch));
    const rows = lines.filter(({ run }) => pointed <= run.epochs).map(({ run, slot, label }) => {
      const [train, validation] = [run.history[metric], run.history[`val_${metric}`]].map((values) => values[pointed - 1]);
      const value = validation ?? train;
      const distance = isShown(value) && height !== null ? Math.abs(y(value) - height) : 0;
      return { slot, label, train, validation, value, distance };
    }).sort((a, b) => a.distance - b.distance);
    const shown = rows.slice(0, MOST_IN_TOOLTIP).sort((a, b) => b.value - a.value);
    const table = element('table', {}, element('tr', {},
      element('th', {}, `epoch ${pointed}`), element('th', {}, 'train'), element('th', {}, 'val')));
    for (const row of shown) {
      const swatch = element('span', { class: 'swatch' });
      swatch.style.background = colorOf(row.slot);
      table.append(element('tr', {}, element('td', {}, swatch, row.label),
        element('td', {}, showFigure(row.train)), element('td', {}, showFigure(row.validation))));
    }
    tooltip.replaceChildren(table);
    if (rows.length > shown.length) tooltip.append(element('p', {}, `and ${rows.length - shown.length} more`));
    tooltip.hidden = false;
    const left = x(pointed);
    const isRight = left + 16 + tooltip.offsetWidth <= width;
    tooltip.style.left = `${Math.max(0, isRight ? left + 14 : left - 14 - tooltip.offsetWidth)}px`;
    // Where the pointer is, the curves are to be seen.
    const isBelow = height !== null && height < geometry.height / 2;
    tooltip.style.top = `${isBelow ? geometry.height - MARGIN.bottom - tooltip.offsetHeight - 6 : MARGIN.top + 2}px`;
    rule.setAttribute('x1', left);
    rule.setAttribute('x2', left);
    rule.setAttribute('visibility', 'visible');
  }

  function leave() {
    if (!geometry) return;
    geometry.tooltip.hidden = true;
    geometry.rule.setAttribute('visibility', 'hidden');
  }

  function pointAt(event) {
    if (!geometry) return;
    const box = host.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / geometry.inner.width;
    point(Math.round(share * (geometry.epochs - 1)) + 1, event.clientY - box.top);
  }

  host.addEventListener('pointermove', pointAt);
  host.addEventListener('pointerdown', pointAt);
  host.addEventListener('pointerleave', leave);
  host.addEventListener('blur', leave);
  host.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    point((pointed ?? (step > 0 ? 0 : (geometry?.epochs ?? 0) + 1)) + step, null);
  });
  let drawnWidth = 0;
  new ResizeObserver(() => {
    if (host.clientWidth === drawnWidth) return;
    drawnWidth = host.clientWidth;
    redraw();
  }).observe(host);
  return { draw };
}
