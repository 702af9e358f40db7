// From values to places on an axis, and where its numbers stand.

// Round steps of 1, 2 or 5 times a power of ten.
function listTicks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

function listLogTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const factor of [1, 2, 5]) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks.length > 8 ? ticks.filter((value) => Number.isInteger(Math.log10(value))) : ticks;
}

function makeScale(values, isLog, length) {
  // The curves of many runs have more values than a call may have arguments.
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  if (isLog) {
    if (low === high) [low, high] = [low / 2, high * 2];
    const span = Math.log(high / low);
    const at = (value) => length * (1 - (0.03 + 0.94 * Math.log(value / low) / span));
    return { at, ticks: listLogTicks(low, high) };
  }
  const room = (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
  [low, high] = [low < 0 ? low - room : Math.max(0, low - room), high + room];
  return { at: (value) => length * (1 - (value - low) / (high - low)), ticks: listTicks(low, high, 8) };
}
